"""The row and the progress line of each update."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rl.runs.forecast import Kind, Work
from rl.runs.log import metrics_log
from rl.runs.progress import Progress
from rl.runs.record import Stage, UpdateRow
from rl.trainer_callback import UpdateCallback, describe_update

ROLLOUTS = {"reward": 0.25, "accuracy": 0.5, "tokens_per_s": 1234.5}


def show(folder: Path, *rows: dict[str, float]) -> list[str]:
    """Log the updates and the summary a Trainer logs at the end; the lines that a file gets."""
    out, ticks = io.StringIO(), iter(range(0, 10000, 60))
    work = Work(label="GRPO", kind=Kind.GRPO_UPDATE, units=len(rows))
    log, state = metrics_log(folder), SimpleNamespace(global_step=0, log_history=[])
    with Progress(out, [work], clock=lambda: float(next(ticks))).showing(work) as task:
        callback: Any = UpdateCallback(Stage.GRPO, log, task)
        for update, row in enumerate(rows, start=1):
            state.global_step = update
            state.log_history.append(row)  # as the Trainer does, before it calls
            callback.on_log(None, state, None, logs={**row, "note": "no number"})
        callback.on_log(None, state, None, logs={"train_runtime": 1.0})
    assert state.log_history == [rows[-1]]  # a run of thousands of updates must not keep them
    return out.getvalue().splitlines()


def test_every_update_is_logged_and_shown(tmp_path: Path) -> None:
    rows = [{"loss": 0.1, **ROLLOUTS, "epoch": 1.0}, {"loss": 0.2, **ROLLOUTS, "epoch": 2.0}]
    lines = show(tmp_path, *rows)
    assert [line.rpartition(", ")[0] for line in lines] == [
        f"GRPO {update}/2 updates, reward 0.250, accuracy 50.0 %, 1,234 tokens/s" for update in (1, 2)
    ]
    assert metrics_log(tmp_path).read() == [
        UpdateRow(stage=Stage.GRPO, update=update, metrics=row) for update, row in enumerate(rows, start=1)
    ]


def test_a_second_pass_over_a_rollout_batch_shows_the_figures_of_the_first(tmp_path: Path) -> None:
    lines = show(tmp_path, {"loss": 0.1, **ROLLOUTS}, {"loss": -0.0073})
    assert "reward 0.250, accuracy 50.0 %" in lines[1] and "loss" not in lines[1]


def test_without_rollouts_the_newest_loss_is_shown(tmp_path: Path) -> None:
    lines = show(tmp_path, {"loss": 0.5}, {"loss": 0.25})
    assert "loss 0.5000" in lines[0] and "loss 0.2500" in lines[1]


def test_each_figure_is_shown_with_its_name() -> None:
    metrics = {"steps_per_correct": 1.5, "groups/useful_frac": 0.5714, **ROLLOUTS, "logprob_diff/max": 1e-5}
    assert describe_update(metrics) == [
        "reward 0.250",
        "accuracy 50.0 %",
        "steps 1.50",
        "signal 57.1 %",
        "1,234 tokens/s",
    ]
