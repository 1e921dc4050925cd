"""The resources of deployments, of proposals, and of what is or was live."""
