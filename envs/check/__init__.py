"""The contract of an environment: `check_env`, the near misses it tries, and the oracles that judge them."""
