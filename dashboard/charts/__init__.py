"""The charts of policies and versions as text, tables and JSON; imports from monitoring and the base files."""
