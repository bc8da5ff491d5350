"""Runs as jobs on a Ray cluster: the head and its token, what is sent, the log until the end."""
