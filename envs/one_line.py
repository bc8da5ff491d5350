"""What an error says, in one line: libraries raise with paragraphs, and a user's mistake is one line."""

from __future__ import annotations


def one_line(error: object, *, most: int | None = 300) -> str:
    """The text of an error without line breaks, its first `most` characters (None: all); else its type."""
    return " ".join(str(error).split())[:most] or type(error).__name__
