"""The tables of decisions: followed markets and their bars, arms, and what each arm decided at each bar."""
