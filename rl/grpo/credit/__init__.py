"""Step credit: which tokens of a completion its reward is credited to."""
