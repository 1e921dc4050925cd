"""Server-sent events from the policies' Redis streams; imports from monitoring and the dashboard's base files."""
