"""Reach a target with every number once."""
