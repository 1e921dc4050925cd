"""Template tags and filters that format values; imports from no other room of the dashboard."""
