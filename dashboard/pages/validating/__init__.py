"""The pages of walk-forwards: the standing of a recipe, and the questions that start and cancel a walk-forward."""
