"""What policies decide on new bars: the newest decision, all of them, a caller's account, paper accounts."""
