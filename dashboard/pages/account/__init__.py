"""A user's own pages: signing in and out, tokens, password and second factor."""
