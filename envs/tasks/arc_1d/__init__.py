"""One rule of 39 explains three rows."""
