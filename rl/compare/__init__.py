"""Comparisons of runs over configs and seeds: results, differences from a base, training failures."""
