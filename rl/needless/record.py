"""The records of a measurement: what `needless.jsonl` holds, a line for each problem, as types.

A `ProblemRow` has every line of the right samples of a problem, with what each rule says of it; all figures
follow from these (`table.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envs.line_facts import LineUse
from rl.needless.guesses import Guess
from rl.runs import json_fields as check
from rl.runs.log import RowLog
from rl.runs.record import of_format

FORMAT = 1
"""Version of the records; raise it with every change that an older reader would misread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRow:
    """A line of a right trace.

    Attributes:
        sample: Number of the sample, from 0.
        line: Its place in the sample, from 0.
        text: The line.
        use: Of what use it is, by the environment.
        progress: How many elementary lines nearer the end it leads; None where that is not known.
        guesses: What each rule says of it; None of a rule that cannot judge it.
    """

    sample: int
    line: int
    text: str
    use: LineUse
    progress: float | None
    guesses: Mapping[str, Guess | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemRow:
    """A problem that was sampled.

    Attributes:
        index: Its index in the split.
        lines: The lines of its right samples.
    """

    index: int
    lines: tuple[LineRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> ProblemRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        return _read_problem(of_format(data, FORMAT, "a measurement of needless steps"))


_PLAIN: Mapping[str, check.Check] = {
    "str": check.text,
    "int": check.integer,
    "bool": check.flag,
    "float": check.number,
    "float | None": check.optional(check.number),
    "LineUse": check.one_of(LineUse),
}
_read_guess = check.optional(check.record(Guess, _PLAIN))
_read_line = check.record(LineRow, {**_PLAIN, "Mapping[str, Guess | None]": check.mapping(_read_guess)})
_read_problem = check.record(ProblemRow, {**_PLAIN, "tuple[LineRow, ...]": check.several(_read_line)})


def problem_log(folder: Path) -> RowLog[ProblemRow]:
    """The rows of a measurement."""
    return RowLog(folder / "needless.jsonl", ProblemRow)
