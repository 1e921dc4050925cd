"""Who may enter: limits of guesses, known places, API tokens and second factors."""
