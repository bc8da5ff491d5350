"""The folder of a run: its files, records, lock, logs and progress."""
