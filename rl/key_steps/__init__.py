"""Key steps: pairs of a right and a wrong trace, and a loss on the tokens in which they differ (EDIT)."""
