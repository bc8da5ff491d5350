"""Ablations: a plan in, finished runs out, on Ray Tune; what they cost, and how far they are."""
