"""Benchmarks: Stride beside what a user could take instead, on the same work."""
