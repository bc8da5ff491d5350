"""How well published rules guess which steps were needless, beside what the environment knows."""
