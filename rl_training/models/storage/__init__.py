"""Columns for large values, and readings of the storage that the system uses."""
