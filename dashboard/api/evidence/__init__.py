"""The evidence for and against recipes and versions: validations, comparisons, and the ledger of trials."""
