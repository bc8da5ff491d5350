"""Models: the policy, its files and card, the memory it takes, and the hub."""
