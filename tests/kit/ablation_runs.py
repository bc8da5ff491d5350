"""Trials of an ablation that never run: their folders are written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs import check_config
from configs.schema.ablation import Trial
from rl.runs.log import metrics_log
from rl.runs.record import Stage, Summary, UpdateRow
from tests.kit.runs_by_hand import write_summary


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make_trials(folder: Path) -> list[Trial]:
    """A shared warm start of 100 updates and the cases `plain` and `steps` of 10, with two seeds."""
    found = []
    for case, warm, after in (("warm-1", True, None), ("plain", False, "warm-1"), ("steps", False, "warm-1")):
        for seed in (0, 1):
            name = f"{case}-seed{seed}"
            config: dict[str, Any] = {
                "env": {"name": "addition"},
                "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
                "warm_start": {"updates": 100} if warm else None,
                "grpo": None if warm else {"updates": 10},
                "output_dir": str(folder / name),
            }
            begin = f"{after}-seed{seed}" if after else None
            found.append(Trial(name=name, case=case, seed=seed, config=check_config(config), after=begin))
    return found


def log_update(trial: Trial, stage: Stage, update: int, **metrics: float) -> None:
    """Add a row to the log of a run."""
    trial.folder.mkdir(exist_ok=True)
    metrics_log(trial.folder).append(UpdateRow(stage=stage, update=update, metrics=metrics))


def finish(trial: Trial, *stages: Stage, eval_s: Mapping[Stage, float] | None = None) -> None:
    """Write the summary of a run: a warm start took 1 s an update, GRPO 4 s."""
    last = stages[-1]
    updates, train_s = (100, 100.0) if last is Stage.WARM else (10, 40.0)
    found = Summary(
        stages={stage: {} for stage in stages},
        updates={last: updates},
        train_s={last: train_s},
        eval_s=eval_s or {},
    )
    write_summary(trial.folder, found)
