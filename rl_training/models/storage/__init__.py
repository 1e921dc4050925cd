"""How large values are stored, and how much storage the system uses."""
