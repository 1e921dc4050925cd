"""The parts of `up`: the supervisor of the services, their log files, and the private Redis server."""
