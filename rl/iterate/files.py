"""Where the files of a loop are in its run folder, beside those that every run has.

::

    rounds.jsonl, rounds/<round>/...      the records (`record.py`)
    models/round-<round>-<kind>/          the trained models, all of them kept
    trainings/round-<round>-<kind>/       metrics.jsonl of a training, in GRPO trajectories; its checkpoints
                                          until the model is there
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rl.iterate.record import AnswerRow, ModelKind, RoundRow
from rl.runs.log import RowLog, metrics_log
from rl.runs.models import OF_ROUND
from rl.search.expert_record import expert_log
from rl.search.record import ProblemRow


def rounds_log(run: Path) -> RowLog[RoundRow]:
    """A row for each finished round."""
    return RowLog(run / "rounds.jsonl", RoundRow)


def asked_log(run: Path, number: int) -> RowLog[AnswerRow]:
    """What was asked on the train problems for a round, and what was answered."""
    return _answers(run, number, "asked")


def evaluation_log(run: Path, number: int, kind: ModelKind) -> RowLog[AnswerRow]:
    """The answers of a round's model in its evaluation."""
    return _answers(run, number, kind.value)


def model_name(number: int, kind: ModelKind) -> str:
    """The name of a round's model: `round-2-standard`."""
    return f"{OF_ROUND}{number}-{kind}"


def model_folder(run: Path, number: int, kind: ModelKind) -> Path:
    """The folder of a round's model."""
    return run / "models" / model_name(number, kind)


def training_folder(run: Path, number: int, kind: ModelKind) -> Path:
    """The folder of what a training leaves beside its model."""
    return run / "trainings" / model_name(number, kind)


def all_logs(run: Path) -> list[RowLog[Any]]:
    """Every file of rows that a loop, or expert iteration, has so far; none in the folder of another run."""
    answers = sorted((run / "rounds").glob("*/*.jsonl"))
    searches = sorted((run / "search").glob("*/*.jsonl"))
    trainings = sorted((run / "trainings").glob("*/metrics.jsonl"))
    return [
        rounds_log(run),
        *[RowLog(path, AnswerRow) for path in answers],
        expert_log(run),
        *[RowLog(path, ProblemRow) for path in searches],
        *[metrics_log(path.parent) for path in trainings],
    ]


def _answers(run: Path, number: int, name: str) -> RowLog[AnswerRow]:
    return RowLog(run / "rounds" / str(number) / f"{name}.jsonl", AnswerRow)
