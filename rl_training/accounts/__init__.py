"""Access to the system: limits of guesses, known places, API tokens and second factors."""
