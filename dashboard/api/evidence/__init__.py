"""What speaks for or against recipes and versions: validations, comparisons, and the ledger of trials."""
