"""Linear equations with symbols, solved line by line."""
