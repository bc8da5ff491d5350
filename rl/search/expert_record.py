"""The records of expert iteration, and where its files are in its run folder.

::

    expert.jsonl                            an `ExpertRow` for each finished round, 0 (the warm start) first
    search/round-<round>/train.jsonl        the search on train problems that it learns from; none in round 0
    search/round-<round>/evaluation.jsonl   its evaluation: every completion, as in `search.jsonl`
    models/round-<round>-expert/            its model
    trainings/round-<round>-expert/         metrics.jsonl of its training; checkpoints until the model is there

Every figure follows from the completions, by `summary.py`; a row says that the round is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl.runs import json_fields as check
from rl.runs.log import RowLog
from rl.runs.models import OF_ROUND
from rl.runs.record import of_format
from rl.search.record import ProblemRow

FORMAT = 1
"""Version of `ExpertRow`; raise it with every change that an older reader would misread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertRow:
    """One finished round.

    Attributes:
        round: Its number; 0 is the warm start.
        asked: Train problems that were searched; 0 in round 0.
        right: Those whose answer by the search is right.
        kept: Demonstrations that the round learnt from: answers that verify.
        tokens: Tokens that the search on train took.
        updates: Optimiser updates of its training.
        greedy: Accuracy of greedy decoding by split.
        searched: Accuracy by split of the search that rounds learn from (`SearchConfig.learnt_from`); empty
            where only greedy decoding is evaluated.
    """

    round: int
    asked: int
    right: int
    kept: int
    tokens: int
    updates: int
    greedy: Mapping[str, float]
    searched: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> ExpertRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        return _read_row(of_format(data, FORMAT, "expert iteration"))


_read_row = check.record(ExpertRow, {"int": check.integer, "Mapping[str, float]": check.mapping(check.number)})


def expert_log(run: Path) -> RowLog[ExpertRow]:
    """A row for each finished round."""
    return RowLog(run / "expert.jsonl", ExpertRow)


def searched_log(run: Path, number: int) -> RowLog[ProblemRow]:
    """The search on train problems that a round learns from."""
    return RowLog(run / "search" / f"{OF_ROUND}{number}" / "train.jsonl", ProblemRow)


def evaluated_log(run: Path, number: int) -> RowLog[ProblemRow]:
    """The evaluation of a round's model."""
    return RowLog(run / "search" / f"{OF_ROUND}{number}" / "evaluation.jsonl", ProblemRow)


def model_folder(run: Path, number: int) -> Path:
    """The folder of a round's model."""
    return run / "models" / f"{OF_ROUND}{number}-expert"


def training_folder(run: Path, number: int) -> Path:
    """The folder of what a training leaves beside its model."""
    return run / "trainings" / f"{OF_ROUND}{number}-expert"
