"""The resources of what is live: deployments, proposals, and what was live at a time."""
