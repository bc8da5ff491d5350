"""Whether a model goes back when it must, and only then."""
