"""The wording of directional reasoning: ``North. Right, Around``, and ``North.`` at the end."""

from __future__ import annotations

import re

from envs.released.wording import Wording, unworded

_ASK = (
    "Assuming an initial orientation facing {}, determine the final direction after executing the following "
    "actions: {}"
)
_QUESTION = re.compile(_ASK.format(r"([A-Z][a-z]{1,9})", r"([A-Za-z, ]+)"))
_LINE = re.compile(r"([A-Z][a-z]{1,9})\.(?: ([A-Z][A-Za-z, ]*))?")
_OURS = re.compile(r"You face ([a-z]+)\. Actions: ([a-z, ]+)")


class DirectionalWording(Wording):
    """Headings and actions are capitalised, and the last line ends in a full stop."""

    def read_question(self, text: str) -> str:
        """See `Wording`."""
        found = _QUESTION.fullmatch(text.strip())
        if found is None:
            raise unworded("question", text, _ASK.format("South", "Around, Left"))
        return f"You face {found[1].lower()}. Actions: {found[2].lower()}"

    def read_line(self, text: str) -> str:
        """See `Wording`."""
        found = _LINE.fullmatch(text)
        if found is None:
            raise unworded("line", text, "North. Right, Around")
        return found[1].lower() if found[2] is None else f"{found[1]}. {found[2]}".lower()

    def read_answer(self, text: str) -> str:
        """See `Wording`."""
        return text.lower()

    def write_question(self, question: str) -> str:
        """See `Wording`."""
        found = _OURS.fullmatch(question)
        assert found is not None, question
        return _ASK.format(found[1].title(), found[2].title())

    def write_line(self, line: str) -> str:
        """See `Wording`."""
        return line.title() if "." in line else f"{line.title()}."

    def write_answer(self, answer: str) -> str:
        """See `Wording`."""
        return answer.title()
