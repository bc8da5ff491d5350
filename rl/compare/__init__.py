"""Comparisons: runs of several configs and seeds in, a page, a table and a CSV of what sets them apart out."""
