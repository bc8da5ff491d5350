"""The shape of a task's answers: whether they have rows, and how long they are.

In: right answers of the task, and a text. Out: whether the text can be an answer, and the answer in one line.
`layout.py` reads the answer itself. All functions take time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ROW_BREAK = " / "
_MORE_CHARS = 40
_WORD = re.compile("[A-Za-z]{3}")
_JSON = re.compile(r"[ \n]*+(?:```[a-z]*+[ \n]*+|`|\*\*)?+[\[{]")


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerShape:
    r"""The shape of a task's answers.

    Example: `AnswerShape.of(["1 2\n3 4"])` is `AnswerShape(has_rows=True, num_chars=4)`.

    Attributes:
        has_rows: Whether an answer may have several rows.
        num_chars: Characters of a long answer, without spaces.
    """

    has_rows: bool
    num_chars: int

    @classmethod
    def of(cls, answers: Sequence[str]) -> AnswerShape:
        """The shape of some right answers."""
        return cls(
            has_rows=any("\n" in answer for answer in answers),
            num_chars=max((_num_chars(answer) for answer in answers), default=0),
        )

    def fits(self, text: str) -> bool:
        """Whether a whole text can be an answer: a grid, JSON, or at most about twice as long as a long one."""
        if _WORD.search(text) is None or _JSON.match(text):
            return bool(text.strip())
        return _num_chars(text) <= 2 * self.num_chars + _MORE_CHARS

    def in_one_line(self, text: str) -> str:
        """An answer with its rows joined by `ROW_BREAK`, or by spaces where rows mean nothing."""
        rows = [row.expandtabs(1).rstrip() for row in text.strip().split("\n") if row.strip()]
        return ROW_BREAK.join(rows) if self.has_rows else " ".join(row.strip() for row in rows)


def _num_chars(text: str) -> int:
    return sum(map(len, text.split()))
