"""The page of one run: its folder in, a self-contained page out."""
