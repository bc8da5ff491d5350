"""Pages: what run and comparison share, and a folder for each."""
