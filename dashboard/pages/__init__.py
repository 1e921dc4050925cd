"""The HTML pages and their actions; imports from charts, live, monitoring and the dashboard's base files."""
