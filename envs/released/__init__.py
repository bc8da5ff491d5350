"""The released data of step skipping (arXiv 2411.01855): its layout, and tasks that read it."""
