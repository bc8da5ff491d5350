"""How far a run of an ablation is, by what its folder holds.

In: a trial, at work or not. Out: its newest row of metrics as a `Progress`, and where a run that was cut off
would go on. A run's folder says this wherever the run is, so nothing has to be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.schema.ablation import Trial
from rl.runs.folder import read_summary, stage_done

_TAIL = 1 << 16  # bytes; a row is about one thousand


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: `warm` or `grpo`; empty before the first update.
        update: Updates of the stage so far.
        updates: Of how many.
        evaluated: Whether what the stage made has been evaluated.
        accuracy: Of the last update's completions, 0 to 1; None where it has none, as in a warm start.
        steps_per_correct: Likewise.
        backtracks: A completion, likewise.
    """

    stage: str = ""
    update: int = 0
    updates: int = 0
    evaluated: bool = False
    accuracy: float | None = None
    steps_per_correct: float | None = None
    backtracks: float | None = None

    def __str__(self) -> str:
        """As `grpo 20/160`, or what it does beside training."""
        if not self.stage:
            return "starting"
        if self.update >= self.updates and not self.evaluated:
            return f"evaluating {self.stage}"
        return f"{self.stage} {self.update}/{self.updates}"


def trained_stages(trial: Trial) -> dict[str, int]:
    """The stages a run trains, with their updates."""
    config = trial.config
    stages = {"warm": config.warm_start, "grpo": config.grpo}
    return {name: stage.updates for name, stage in stages.items() if stage is not None}


def is_done(trial: Trial) -> bool:
    """Whether every stage of a run is trained and evaluated."""
    summary = read_summary(trial.folder)
    wanted = {"base": 0, **trained_stages(trial)}
    return all(stage_done(summary, stage, updates) for stage, updates in wanted.items())


def read_progress(trial: Trial) -> Progress:
    """How far a run is."""
    row = _last_row(trial.folder / "metrics.jsonl")
    stages = trained_stages(trial)
    if row is None or row["stage"] not in stages:
        return Progress()
    return Progress(
        stage=row["stage"],
        update=row["update"],
        updates=stages[row["stage"]],
        evaluated=row["stage"] in read_summary(trial.folder)["stages"],
        accuracy=row.get("accuracy"),
        steps_per_correct=row.get("steps_per_correct"),
        backtracks=row.get("backtracks"),
    )


def resume_updates(trial: Trial) -> dict[str, int]:
    """Updates of each trained stage that need no repeating when the run goes on."""
    summary = read_summary(trial.folder)
    return {
        stage: updates if stage_done(summary, stage, updates) else _newest_checkpoint(trial.folder, stage)
        for stage, updates in trained_stages(trial).items()
    }


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = _tail(log).decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _newest_checkpoint(folder: Path, stage: str) -> int:
    checkpoints = folder / "checkpoints" / stage
    if not checkpoints.is_dir():
        return 0
    from rl.grpo.trainer import STATE_FILE as GRPO_STATE_FILE  # TRL takes seconds to import
    from rl.sft.trainer import STATE_FILE as WARM_STATE_FILE

    written_last = {"warm": WARM_STATE_FILE, "grpo": GRPO_STATE_FILE}[stage]
    complete = [path.parent.name for path in checkpoints.glob(f"checkpoint-*/{written_last}")]
    return max((int(name.rpartition("-")[2]) for name in complete), default=0)


def _last_row(path: Path) -> dict[str, Any] | None:
    return next(_rows_backwards(path), None)


def _rows_backwards(path: Path) -> Iterator[dict[str, Any]]:
    """Whole rows at the end of a file, the last one first."""
    for line in reversed(_tail(path).split(b"\n")[:-1]):
        try:
            row = json.loads(line)
        except ValueError:  # the tail begins inside it
            continue
        if isinstance(row, dict):
            yield row


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            return file.read()
    except FileNotFoundError:
        return b""
