"""The wording of addition, such as ``1. 6 + 5 (plus carry 0) = 11 (write down 1, carry over 1).``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from envs.released.wording import Wording, unworded

_QUESTION = re.compile(r"(?:Question: )?([0-9]{1,200}) \+ ([0-9]{1,200})")
_OURS = re.compile(r"Add ([0-9]+) and ([0-9]+)")
_COLUMN = re.compile(
    r"([0-9]{1,3})\. (?:Add the 10\^[0-9]{1,3}'s place digits: )?"
    r"([0-9]{1,12}) \+ ([0-9]{1,12}) \(plus carry ([0-9]{1,12})\) = ([0-9]{1,12}) "
    r"\(write down ([0-9]{1,12}), (?:carry over ([0-9]{1,12})|no carry over)\)\."
)
_OUR_COLUMN = re.compile(
    r"([0-9]+)\. ([0-9]+) \+ ([0-9]+) \+ ([0-9]+) = ([0-9]+), write ([0-9]+), carry ([0-9]+)"
)
_CARRY = re.compile(r"([0-9]{1,3})\. Carry the final carry over 1 to the next place\.")
_CARRY_IN = re.compile(r" \+ [01] = ")
_LIKE = "1. 6 + 5 (plus carry 0) = 11 (write down 1, carry over 1)."


class AdditionWording(Wording):
    """Operands as ``Question: 86 + 75``. A prefix that names the column, as in the OOD files, is dropped."""

    def read_question(self, text: str) -> str:
        """See `Wording`."""
        found = _QUESTION.fullmatch(text.strip())
        if found is None:
            raise unworded("question", text, "Question: 86 + 75")
        return f"Add {found[1]} and {found[2]}"

    def read_line(self, text: str) -> str:
        """See `Wording`."""
        if (last := _CARRY.fullmatch(text)) is not None:
            return f"{last[1]}. carry 1, write 1"
        found = _COLUMN.fullmatch(text)
        if found is None:
            raise unworded("line", text, _LIKE)
        number, first, second, carry, total, written, out = found.groups("0")
        return f"{number}. {first} + {second} + {carry} = {total}, write {written}, carry {out}"

    def read_answer(self, text: str) -> str:
        """See `Wording`."""
        return text

    def write_question(self, question: str) -> str:
        """See `Wording`."""
        found = _OURS.fullmatch(question)
        assert found is not None, question
        return f"Question: {found[1]} + {found[2]}"

    def write_line(self, line: str) -> str:
        """See `Wording`."""
        found = _OUR_COLUMN.fullmatch(line)
        if found is None:
            return f"{line.partition('.')[0]}. Carry the final carry over 1 to the next place."
        number, first, second, carry, total, written, out = found.groups()
        carries = "no carry over" if out == "0" else f"carry over {out}"
        return f"{number}. {first} + {second} (plus carry {carry}) = {total} (write down {written}, {carries})."

    def write_answer(self, answer: str) -> int:
        """See `Wording`."""
        return int(answer)

    def is_known_slip(self, lines: Sequence[str], full: Sequence[str]) -> bool:
        """The OOD files print the carry out of a column where the carry into it belongs."""
        return [_CARRY_IN.sub(" = ", line) for line in lines] == [_CARRY_IN.sub(" = ", line) for line in full]
