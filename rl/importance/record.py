"""The records of an analysis: what `importance.jsonl` holds, a line for each problem, as types.

`ProblemRow` has a problem that was sampled, and where its accuracy is in the band, one trace of it with what
was found at each boundary and of each line. `line_table` has the same as a flat table, a row for each line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from envs import Verdict
from rl.importance.lines import LineKind
from rl.importance.measure import Answer
from rl.runs import json_fields as check
from rl.runs.errors import RunFolderError
from rl.runs.files import sync_folder
from rl.runs.log import damaged

FORMAT = 1
"""Version of the records. Raise it with every change that an older reader would misread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterfactual:
    """A line compared with the other lines that the policy writes in its place.

    Attributes:
        num: Continuations before the line whose next step is another one.
        accuracy: Share of these that end right.
        divergence: KL divergence of their answers to those of continuations after the line, in nats.
        chance: What chance alone would make of it.
    """

    num: int
    accuracy: float
    divergence: float
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRow:
    """A line of the trace; what it is as in `Line`.

    Attributes:
        text: The line.
        kind: What it is.
        verdict: The environment's verdict.
        taken_back: Whether a later backtrack took it back.
        num_elementary: Elementary steps it does; None where that is unknown.
        decides: Whether the way to the end is lost or found again with it; None where steps are not checked.
        accuracy_before: Share of continuations before it that end right.
        accuracy_after: Share of continuations after it that do; None where the text ends with it.
        divergence: KL divergence of the answers before it to those after it, in nats; None likewise.
        chance: What chance alone would make of it; None likewise.
        num_other: Continuations before it whose next step is another one.
        counterfactual: The line against these; None where they are too few.
    """

    text: str
    kind: LineKind
    verdict: Verdict
    taken_back: bool
    num_elementary: int | None
    decides: bool | None
    accuracy_before: float
    accuracy_after: float | None
    divergence: float | None
    chance: float | None
    num_other: int
    counterfactual: Counterfactual | None

    @property
    def importance(self) -> float | None:
        """The divergence less what chance makes of it, in nats; around 0 for a line that changes nothing."""
        return None if self.divergence is None or self.chance is None else self.divergence - self.chance

    @property
    def change(self) -> float | None:
        """Accuracy after the line less accuracy before it."""
        return None if self.accuracy_after is None else self.accuracy_after - self.accuracy_before


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryRow:
    """A place between two lines.

    Attributes:
        tokens: Tokens of the completion before it.
        whole: Whether the line before it is whole in them.
        answers: How often the continuations from it end with each answer.
    """

    tokens: int
    whole: bool
    answers: tuple[tuple[Answer, int], ...]

    @property
    def num(self) -> int:
        """Number of continuations."""
        return sum(count for _, count in self.answers)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemRow:
    """A problem that was sampled.

    Attributes:
        split: Its split.
        index: Its index in the split.
        question: Its question.
        answer: Its answer.
        num_samples: Samples that its accuracy is measured with.
        num_right: Of these, the right ones.
        why_not: Why no trace of it was analysed, in a few words; empty for one that was.
        text: The completion that was analysed.
        right: Whether its answer is right.
        boundaries: Before each of its lines, and after the last.
        lines: Its lines.
    """

    split: str
    index: int
    question: str
    answer: str
    num_samples: int
    num_right: int
    why_not: str = ""
    text: str = ""
    right: bool = False
    boundaries: tuple[BoundaryRow, ...] = ()
    lines: tuple[LineRow, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of right samples; NaN where none was graded."""
        return self.num_right / self.num_samples if self.num_samples else math.nan

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        data = asdict(self)
        data["boundaries"] = [
            {**one, "answers": [[*answer, count] for answer, count in one["answers"]]}
            for one in data["boundaries"]
        ]
        return {"format": FORMAT, **data}

    @classmethod
    def from_json(cls, data: Any) -> ProblemRow:
        """The row of a JSON object.

        Raises:
            RecordError: It is no such row, or has another format.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise check.RecordError(f"it is no row of format {FORMAT}")
        return _read_problem({name: value for name, value in data.items() if name != "format"})


def _answers(value: Any) -> tuple[tuple[Answer, int], ...]:
    try:
        return tuple(
            [
                (Answer(check.optional(check.text)(text), check.flag(right)), check.integer(count))
                for text, right, count in value
            ]
        )
    except (TypeError, ValueError) as error:
        raise check.RecordError(f"{check.shown(value)} are no counts of answers ({error})") from None


_PLAIN: Mapping[str, check.Check] = {
    "str": check.text,
    "int": check.integer,
    "bool": check.flag,
    "float": check.number,
    "int | None": check.optional(check.integer),
    "bool | None": check.optional(check.flag),
    "float | None": check.optional(check.number),
    "Verdict": check.one_of(Verdict),
    "LineKind": check.one_of(LineKind),
    "tuple[tuple[Answer, int], ...]": _answers,
}
_read_line = check.record(
    LineRow, {**_PLAIN, "Counterfactual | None": check.optional(check.record(Counterfactual, _PLAIN))}
)
_read_problem = check.record(
    ProblemRow,
    {
        **_PLAIN,
        "tuple[BoundaryRow, ...]": check.several(check.record(BoundaryRow, _PLAIN)),
        "tuple[LineRow, ...]": check.several(_read_line),
    },
)


class ProblemLog:
    """The file of `ProblemRow`s, in whatever order they were done."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "importance.jsonl"

    def append(self, row: ProblemRow) -> None:
        """Add a row."""
        with self.path.open("a") as file:
            file.write(json.dumps(row.to_json()) + "\n")

    def read(self) -> list[ProblemRow]:
        """All rows in the order of the problems; one that a kill cut off is left out.

        Raises:
            RunFolderError: A row is damaged.
        """
        rows = []
        for number, line in enumerate(self._whole_lines(), start=1):
            try:
                rows.append(ProblemRow.from_json(json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise damaged(self.path, f"row {number} is damaged ({error})") from None
        return sorted(rows, key=lambda row: row.index)

    def mend(self) -> None:
        """Remove a row that a kill cut off, so that the next one begins on a line of its own."""
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            kept = self.path.with_suffix(".tmp")
            kept.write_bytes(b"".join(line + b"\n" for line in self._whole_lines()))
            kept.replace(self.path)
            sync_folder(self.path.parent)

    def _whole_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        try:
            return self.path.read_bytes().split(b"\n")[:-1]
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be read: {error.strerror or error}") from None


def line_table(rows: Sequence[ProblemRow]) -> pd.DataFrame:
    """A row for each line of the traces that were analysed: what is found of it beside what is known of it."""
    names = [field.name for field in fields(LineRow) if field.name != "counterfactual"]
    found = []
    for row in rows:
        for place, line in enumerate(row.lines):
            other = line.counterfactual
            found.append(
                {
                    "split": row.split,
                    "index": row.index,
                    "policy_accuracy": row.accuracy,
                    "trace_right": row.right,
                    "line": place,
                    "num_lines": len(row.lines),
                    "whole": row.boundaries[min(place + 1, len(row.boundaries) - 1)].whole,
                    "continuations": row.boundaries[place].num,
                    **{name: getattr(line, name) for name in names},
                    "importance": line.importance,
                    "change": line.change,
                    "other_frac": line.num_other / max(1, row.boundaries[place].num),
                    "counterfactual_importance": None if other is None else other.divergence - other.chance,
                    "counterfactual_change": None
                    if other is None or line.accuracy_after is None
                    else line.accuracy_after - other.accuracy,
                }
            )
    table = pd.DataFrame(found)
    for name in ("kind", "verdict"):
        if name in table:
            table[name] = table[name].map(str)
    return table
