"""Writes what a Trainer logs for each update to `metrics.jsonl` and shows it on the progress line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rl.runs.log import RowLog
from rl.runs.progress import Task
from rl.runs.record import Stage, UpdateRow
from rl.stats.format import number, percent

LEGEND = (
    "shown for each GRPO update: mean reward; share of right answers; steps per right answer; share of groups "
    "with a signal, which are those whose rewards differ; tokens sampled per second; time left of the run"
)
_FIGURES: dict[str, Callable[[float], str]] = {
    "reward": lambda value: f"reward {number(value, 3)}",
    "accuracy": lambda value: f"accuracy {percent(value)}",
    "steps_per_correct": lambda value: f"steps {number(value)}",
    "groups/useful_frac": lambda value: f"signal {percent(value)}",
    "tokens_per_s": lambda value: f"{number(value, 0)} tokens/s",
}


class UpdateCallback(TrainerCallback):
    """Writes every logged update to `metrics.jsonl` and advances the progress line."""

    def __init__(self, stage: Stage, log: RowLog[UpdateRow], task: Task) -> None:
        self._stage = stage
        self._log = log
        self._task = task
        self._figures: list[str] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._task.begin()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write and show one update."""
        if not logs or "loss" not in logs:
            return
        numbers = {key: value for key, value in logs.items() if isinstance(value, int | float)}
        self._log.append(UpdateRow(stage=self._stage, update=state.global_step, metrics=numbers))
        # A second pass over a rollout batch logs no rollout figures; those of the first one stay.
        self._figures = describe_update(numbers) or self._figures
        self._task.advance(state.global_step, self._figures or [f"loss {numbers['loss']:.4f}"])


def describe_update(numbers: Mapping[str, float]) -> list[str]:
    """The figures of an update as texts, the most important first; none without rollouts."""
    return [text(numbers[key]) for key, text in _FIGURES.items() if key in numbers]
