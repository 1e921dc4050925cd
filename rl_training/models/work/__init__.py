"""Work that workers do besides runs: comparisons, validations, and the ledger of their trials."""
