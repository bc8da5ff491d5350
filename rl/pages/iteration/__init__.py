"""The page of a step-skipping loop, and of a study over several."""
