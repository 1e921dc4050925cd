"""Walk-forwards and the gate, as users see them: what is known of a recipe, and the questions that start and cancel."""
