"""Training: the stages of a run, the learner, and reports, comparisons and ablations of runs."""
