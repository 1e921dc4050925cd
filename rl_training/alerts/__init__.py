"""Alerts: rules say what is wrong, a row stands open while it is, and channels are told when it begins and ends."""
