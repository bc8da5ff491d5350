"""From one warm start to the same sampled reward: Stride against stock TRL with its own generation."""
