"""GRPO: advantages, micro-batches, one update, and TRL's trainer around it."""
