"""Everything that wants a GPU in one run of ten minutes: tests, agreement, speed, memory, a training."""
