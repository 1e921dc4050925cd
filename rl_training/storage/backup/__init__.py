"""Backups of the whole state in one file, and their restore into an empty state."""
