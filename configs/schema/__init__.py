"""The schema of a run and of an ablation, and what reads their YAML."""
