"""Training: the stages of a run, the learner, and what reads finished runs."""
