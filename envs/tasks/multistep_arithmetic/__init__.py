"""Evaluate an expression, one operation a line."""
