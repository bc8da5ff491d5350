"""How the released data words a task: its texts to those of Stride's grammar, and back.

In: one text, a question, a line of a trace or an answer. Out: the same in the other wording. Only the wording
changes; whether a line holds is for the environment to say. `addition.py`, `directional.py` and `algebra.py`
are the wordings of the three tasks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class WordingError(ValueError):
    """A text is not worded as in the released data; the message is one line."""


class Wording(ABC):
    """The wording of one task. Methods that read raise `WordingError`; those that write take Stride's texts.

    Attributes:
        as_equations: Whether a trace is a list of equations (`steps`), not one text (`completion`).
    """

    as_equations: bool = False

    @abstractmethod
    def read_question(self, text: str) -> str:
        """The question in Stride's words."""

    @abstractmethod
    def read_line(self, text: str) -> str:
        """A line of a trace in Stride's grammar."""

    @abstractmethod
    def read_answer(self, text: str) -> str:
        """The answer in Stride's spelling."""

    @abstractmethod
    def write_question(self, question: str) -> str:
        """The question as the released data words it."""

    @abstractmethod
    def write_line(self, line: str) -> str:
        """A line as the released data words it."""

    @abstractmethod
    def write_answer(self, answer: str) -> str | int:
        """The answer as the released data has it."""

    def is_known_slip(self, lines: Sequence[str], full: Sequence[str]) -> bool:
        """Whether a trace differs from the full one only by a known mistake of the released files."""
        return False


def unworded(what: str, text: str, like: str) -> WordingError:
    """The error for a text that is worded otherwise."""
    return WordingError(f"the {what} {text[:80]!r} is not worded like {like!r}")
