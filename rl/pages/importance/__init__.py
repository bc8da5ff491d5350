"""The page of a step importance analysis."""
