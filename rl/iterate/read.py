"""A whole step-skipping loop, read from its folder, finished or not.

In: a run folder. Out: a `LoopRecord`, from which the page of the loop and the study over loops are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.iterate.files import asked_log, evaluation_log, rounds_log
from rl.iterate.record import AnswerRow, ModelKind, RoundRow
from rl.runs.errors import RunFolderError
from rl.runs.log import RowLog
from rl.runs.read import RunRecord, is_run, read_config, read_run

Cells = Mapping[str, Sequence[AnswerRow]]
"""Answers by cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopRecord:
    """A loop as its page shows it. Answers on which a grader failed are left out.

    Attributes:
        run: Config, provenance and times of the run.
        rounds: The finished rounds, 0 first.
        asked: By round, the answers to the requests on train; none in round 0.
        conditioned: By round, the answers of the model whose prompts state a number of steps.
        standard: By round, those of the model whose prompts state none.
    """

    run: RunRecord
    rounds: tuple[RoundRow, ...]
    asked: Mapping[int, Sequence[AnswerRow]]
    conditioned: Mapping[int, Cells]
    standard: Mapping[int, Cells]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The section `iterate` of the config."""
        found: Mapping[str, Any] = self.run.config["iterate"]
        return found

    @property
    def planned(self) -> int:
        """Rounds that the config asks for, round 0 included."""
        return 1 + int(self.settings.get("rounds", 0))

    @property
    def cells(self) -> list[str]:
        """The cells that standard models were evaluated on, as `RoundRow.solved` orders them."""
        return list(dict.fromkeys(cell for row in self.rounds for cell in row.solved))

    @property
    def fewer(self) -> list[int]:
        """The requests, by how many steps they are below the full count: 0 and those of `iterate.fewer`."""
        found = {row.fewer for cells in self.conditioned.values() for rows in cells.values() for row in rows}
        found |= {row.fewer for rows in self.asked.values() for row in rows}
        return sorted(one for one in found if one is not None)


def is_loop(folder: Path) -> bool:
    """Whether a folder holds the run of a loop.

    Raises:
        RunFolderError: Its config cannot be read.
    """
    return is_run(folder) and bool(read_config(folder).get("iterate"))


def finished_rounds(folder: Path) -> list[RoundRow]:
    """The rounds that a loop has finished; none where it has not begun.

    Raises:
        RunFolderError: The file has another format or is damaged.
    """
    return rounds_log(folder).read()


def read_loop(folder: Path) -> LoopRecord:
    """Read the folder of a loop. Answers of a round that is not finished are left out.

    Raises:
        RunFolderError: It holds no loop, or a file of it has another format or is damaged.
    """
    if not is_loop(folder):
        raise RunFolderError(
            f"there is no loop in {folder} (no config.yaml with the section iterate); give the folder of a run "
            "of `stride iterate`"
        )
    rounds = finished_rounds(folder)
    numbers = [row.round for row in rounds]
    return LoopRecord(
        run=read_run(folder),
        rounds=tuple(rounds),
        asked={number: rows for number in numbers if (rows := _graded(asked_log(folder, number)))},
        conditioned=_evaluated(folder, numbers, ModelKind.CONDITIONED),
        standard=standard_answers(folder, numbers),
    )


def standard_answers(folder: Path, rounds: Sequence[int]) -> dict[int, dict[str, list[AnswerRow]]]:
    """What the standard model of each round answered, by cell; a round without one has no cells.

    Raises:
        RunFolderError: A file has another format or is damaged.
    """
    return _evaluated(folder, rounds, ModelKind.STANDARD)


def _evaluated(folder: Path, rounds: Sequence[int], kind: ModelKind) -> dict[int, dict[str, list[AnswerRow]]]:
    found: dict[int, dict[str, list[AnswerRow]]] = {}
    for number in rounds:
        cells = found.setdefault(number, {})
        for row in _graded(evaluation_log(folder, number, kind)):
            cells.setdefault(row.cell, []).append(row)
    return found


def _graded(log: RowLog[AnswerRow]) -> list[AnswerRow]:
    return [row for row in log.read() if row.outcome is not None]
