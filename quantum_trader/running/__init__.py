"""What `up` runs: the supervisor of the services, their log files, and the private Redis server."""
