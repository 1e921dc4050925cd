"""The pages of a policy: its tabs, and the page of a version."""
