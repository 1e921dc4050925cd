"""Comparing arms on new bars, and watching the account of the live version."""
