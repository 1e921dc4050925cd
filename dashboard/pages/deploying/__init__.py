"""What is live on the pages: the answer, its history, the actions that change it, and proposals."""
