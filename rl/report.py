"""Placeholder until the report lands."""

from pathlib import Path


def write_report(folder: Path) -> Path:
    """Write."""
    return folder / "report.html"
