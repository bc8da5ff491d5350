"""Benchmarks: Stride and its alternatives on the same work."""
