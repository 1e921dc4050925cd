"""The process `decide`: its loop, its task, and reading the sources of followed markets."""
