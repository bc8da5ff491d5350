"""Who runs workers: this process, or Ray actors."""
