"""Intervals, paired differences and other statistics."""
