"""The step-skipping loop: ask for fewer steps, keep what is right, mix, retrain."""
