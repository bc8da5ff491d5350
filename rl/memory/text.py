"""Amounts of memory as text."""

from __future__ import annotations


def gib(size: float) -> str:
    """GiB with one decimal, or MiB below 1 GiB.

    Example: 6_174_015_488 -> "5.8 GiB".
    """
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
