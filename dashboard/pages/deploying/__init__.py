"""The pages about what is live: the answer, its history, the actions that change what is live, and proposals."""
