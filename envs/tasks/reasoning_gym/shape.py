r"""Where a text states its answer: between tags, in a box, after the closing phrase, or all over.

In: a text, and the form that the right answers of the task have. Out: places in the text, and the answer
there in one line. `layout.py` reads the answer itself. All functions take time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from envs.trace import CLOSING

ROW_BREAK = " / "
OPEN, CLOSE = "<answer>", "</answer>"
_BOX = "\\boxed"
_MAX_BOXES = 8
_MAX_BOX_CHARS = 2000
_MORE_CHARS = 40
_WORD = re.compile("[A-Za-z]{3}")
_JSON = re.compile(r"\s*+(?:```[a-z]*+\s*+|`|\*\*)?+[\[{]")
Place = tuple[int, int]


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


def between_tags(text: str) -> Place | None:
    """What stands between the only pair of tags, if no text follows it."""
    start, end = text.find(OPEN), text.find(CLOSE)
    alone = text.rfind(OPEN) == start and text.rfind(CLOSE) == end
    if not alone or not 0 <= start < end or text[end + len(CLOSE) :].strip():
        return None
    return start + len(OPEN), end


def in_box(text: str) -> Place | None:
    r"""The content of the last balanced ``\boxed{}``, which may have several rows."""
    end = len(text)
    for _ in range(_MAX_BOXES):
        end = text.rfind(_BOX, 0, end)
        if end < 0:
            return None
        start = end + len(_BOX)
        window = text[start : start + _MAX_BOX_CHARS + 2]
        opened = len(window) - len(window.lstrip(" "))
        depth = 0
        for at in range(opened, len(window) if window[opened : opened + 1] == "{" else 0):
            depth += (window[at] == "{") - (window[at] == "}")
            if depth == 0:
                return start + opened + 1, start + at
    return None


def after_closing(text: str) -> Place | None:
    """The rows after the closing phrase, if it begins a line and occurs once, and its own line does not end."""
    phrase = CLOSING.rstrip()
    start = text.find(phrase)
    if start < 0 or text.rfind(phrase) != start or text[:start].rpartition("\n")[2].strip():
        return None
    first, _, more = text[start + len(phrase) :].partition("\n")
    if first.rstrip().endswith(".") or not more.strip():
        return None
    at = start + len(phrase) + (first[:1] == ":")
    end = len(text.rstrip())
    return at, end - text.endswith(".", 0, end)
