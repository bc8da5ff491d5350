"""Shortest paths by a written-down search."""
