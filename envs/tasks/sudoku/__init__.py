"""Sudoku of side 4, 6 or 9."""
