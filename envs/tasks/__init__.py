"""The tasks: one file or folder each."""
