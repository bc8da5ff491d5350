"""How far a run of an ablation is, read from its folder.

In: a trial, running or not. Out: its newest row of metrics as a `Progress`, and the update from which a run
that was cut off would continue. Everything is read from the run's folder, so runs need not send anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.schema.ablation import Trial
from rl.iterate.files import rounds_log
from rl.runs.checkpoints import checkpoint_update, latest_checkpoint
from rl.runs.log import metrics_log, read_summary, read_tail
from rl.runs.record import SECTIONS, Stage
from rl.runs.recover import recovered_summary
from rl.search.expert_record import expert_log


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: The stage that trains; None before the first update.
        update: Updates of the stage so far.
        updates: Updates of the stage in all.
        evaluated: Whether the stage has been evaluated.
        accuracy: Of the last update's completions, 0 to 1; None where none is logged, as in a warm start.
        steps_per_correct: Of the same completions, or None.
        backtracks: Backtracks per completion, or None.
        is_loop: Whether the run has rounds; updates are then its rounds, and accuracy and steps those of the
            last round's model on id.
    """

    stage: Stage | None = None
    update: int = 0
    updates: int = 0
    evaluated: bool = False
    accuracy: float | None = None
    steps_per_correct: float | None = None
    backtracks: float | None = None
    is_loop: bool = False

    def __str__(self) -> str:
        """The stage and its updates, as `grpo 20/160`, or what it does instead of training."""
        if self.is_loop:
            return f"{self.update} of {self.updates} rounds"
        if self.stage is None:
            return "starting"
        if self.update >= self.updates and not self.evaluated:
            return f"evaluating {self.stage}"
        return f"{self.stage} {self.update}/{self.updates}"


def planned_rounds(trial: Trial) -> int:
    """Rounds of a loop or of expert iteration, round 0 included; 0 for an ordinary run."""
    loop = trial.config.iterate or trial.config.expert_iteration
    return 0 if loop is None else loop.rounds + 1


def finished_rounds(trial: Trial) -> set[int]:
    """The rounds of it that are finished.

    Raises:
        RunFolderError: The file has another format or is damaged.
    """
    log = rounds_log if trial.config.iterate is not None else expert_log
    return {row.round for row in log(trial.folder).read()}


def trained_stages(trial: Trial) -> dict[Stage, int]:
    """The stages a run trains, with their updates; none for one that has rounds."""
    if planned_rounds(trial):
        return {}
    sections = {stage: getattr(trial.config, name) for stage, name in SECTIONS.items()}
    return {stage: section.updates for stage, section in sections.items() if section is not None}


def is_done(trial: Trial) -> bool:
    """Whether every stage of a run is trained and evaluated, or every round of a loop finished."""
    if rounds := planned_rounds(trial):
        return len(finished_rounds(trial)) >= rounds
    summary = recovered_summary(trial.folder)  # a run whose summary is damaged goes on and mends it
    wanted = {Stage.BASE: 0, **trained_stages(trial)}
    return all(summary.done(stage, updates) for stage, updates in wanted.items())


def read_progress(trial: Trial) -> Progress:
    """How far a run is.

    Raises:
        RunFolderError: A file of the run has another format or is damaged.
    """
    if rounds := planned_rounds(trial):
        return _loop_progress(trial, rounds)
    row = metrics_log(trial.folder).last()
    stages = trained_stages(trial)
    if row is None or row.stage not in stages:
        return Progress()
    return Progress(
        stage=row.stage,
        update=row.update,
        updates=stages[row.stage],
        evaluated=row.stage in read_summary(trial.folder).stages,
        accuracy=row.metrics.get("accuracy"),
        steps_per_correct=row.metrics.get("steps_per_correct"),
        backtracks=row.metrics.get("backtracks"),
    )


def _loop_progress(trial: Trial, rounds: int) -> Progress:
    update = len(finished_rounds(trial))
    if trial.config.iterate is None:
        last = expert_log(trial.folder).last()
        return Progress(
            update=update, updates=rounds, accuracy=last.greedy.get("id") if last else None, is_loop=True
        )
    finished = rounds_log(trial.folder).last()
    on_id = finished.solved.get("id") if finished else None
    return Progress(
        update=update,
        updates=rounds,
        accuracy=on_id.accuracy if on_id is not None else None,
        steps_per_correct=on_id.steps_correct if on_id is not None else None,
        is_loop=True,
    )


def resume_updates(trial: Trial) -> dict[Stage, int]:
    """Updates of each trained stage that are not repeated when the run is resumed."""
    summary = read_summary(trial.folder)
    return {
        stage: updates if summary.done(stage, updates) else _newest_checkpoint(trial.folder, stage)
        for stage, updates in trained_stages(trial).items()
    }


def last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = read_tail(log).decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _newest_checkpoint(folder: Path, stage: Stage) -> int:
    newest = latest_checkpoint(folder, stage)
    return 0 if newest is None else checkpoint_update(newest)
