"""Linear equations in symbols, solved line by line."""
