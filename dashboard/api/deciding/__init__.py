"""The resources of decisions on new bars: the newest decision, all decisions, a caller's account, paper accounts."""
