"""Sampling: engines, workers, pools and the order of problems."""
