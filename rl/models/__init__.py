"""Models: the policy, its files and card, and the hub."""
