"""Arguments of a command: help that ends in an example, and one line for every mistake."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

_MISSING = "the following arguments are required: "
_UNKNOWN = "unrecognized arguments: "


class Arguments(argparse.ArgumentParser):
    """The arguments of one command."""

    def __init__(self, command: str, *, about: str, example: str) -> None:
        """Set up help.

        Args:
            command: Its name after `stride`.
            about: What it does; the docstring of its file.
            example: A whole command line.
        """
        super().__init__(
            prog=f"stride {command}",
            description=about.strip(),
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._example = example

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one line: what is wrong and what to do."""
        if message.startswith(_MISSING):
            message = f"{message.removeprefix(_MISSING)} is missing; for example: {self._example}"
        elif message.startswith(_UNKNOWN):
            message = self._unknown(message.removeprefix(_UNKNOWN))
        self.exit(2, f"error: {self.prog}: {message} ({self.prog} --help lists the arguments)\n")

    def _unknown(self, words: str) -> str:
        word = next((word for word in words.split() if word.startswith("-")), words.split()[0])
        close = get_close_matches(word, self._option_string_actions, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"unknown argument {word}{hint}"


def closest(word: str, known: Sequence[str]) -> str:
    """A hint at the nearest known word, or nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else "."
