"""Free-form mathematics from a user's own data."""
