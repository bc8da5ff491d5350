"""The page of a comparison, its text and its CSV."""
