"""Triangles in exact and fixed-point numbers."""
