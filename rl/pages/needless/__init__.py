"""The page of `stride needless`."""
