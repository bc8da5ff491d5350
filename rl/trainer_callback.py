"""What happens at each update of a Trainer: a check that it is finite, a row in the log, the progress line."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rl.finite import NotFiniteError
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


class SaveByTime(TrainerCallback):
    """Asks for a checkpoint after the first update that ends so long after the last one.

    Comes before `StopIfNotFinite`, which checks the weights where a checkpoint follows.
    """

    def __init__(self, minutes: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = math.inf if minutes is None else 60 * minutes
        self._clock = clock
        self._saved_at = clock()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._saved_at = self._clock()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start it again, whatever the checkpoint was written for."""
        self._saved_at = self._clock()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a checkpoint if it is time."""
        if self._clock() - self._saved_at >= self._every_s:
            control.should_save = True


class StopIfNotFinite(TrainerCallback):
    """Raises `NotFiniteError` for a loss or gradient norm that is not finite, and such weights before a save.

    The Trainer logs an update before it writes a checkpoint. With this callback before the one that logs,
    neither `metrics.jsonl` nor a checkpoint gets the update.
    """

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the loss and the gradient norm of an update."""
        check_figures(logs or {}, state.global_step)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the weights where a checkpoint or the end of the stage follows."""
        if model is not None and (control.should_save or control.should_training_stop):
            check_weights(model, state.global_step)


def check_figures(logs: Mapping[str, Any], update: int) -> None:
    """Refuse a loss or a gradient norm that is not finite.

    Raises:
        NotFiniteError: Names it.
    """
    for key, name in (("loss", "the loss"), ("grad_norm", "the gradient norm")):
        value = logs.get(key, 0.0)
        if not math.isfinite(value):
            raise NotFiniteError.at(update, f"{name} is {value:g}")


def check_weights(model: torch.nn.Module, update: int) -> None:
    """Refuse trained weights that are not finite.

    Raises:
        NotFiniteError: Names the first of them.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not parameter.isfinite().all():
            raise NotFiniteError.at(update, f"the weight {name} is not finite")


class UpdateCallback(TrainerCallback):
    """Writes every logged update to `metrics.jsonl` and advances the progress line."""

    def __init__(self, stage: Stage, log: RowLog[UpdateRow], task: Task) -> None:
        self._stage = stage
        self._log = log
        self._task = task
        self._figures: list[str] = []
        self._evaluated: list[str] = []

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
        del state.log_history[:-1]  # the Trainer would keep all rows, and write them into each checkpoint
        numbers = {key: value for key, value in logs.items() if isinstance(value, int | float)}
        self._log.append(UpdateRow(stage=self._stage, update=state.global_step, metrics=numbers))
        # A second pass over a rollout batch logs no rollout figures; those of the first one stay.
        self._figures = describe_update(numbers) or self._figures
        self._evaluated = describe_evaluation(numbers) or self._evaluated
        figures = self._figures or [f"loss {numbers['loss']:.4f}"]
        self._task.advance(state.global_step, [*figures, *self._evaluated])


def describe_update(numbers: Mapping[str, float]) -> list[str]:
    """The figures of an update as texts, the most important first; none without rollouts."""
    return [text(numbers[key]) for key, text in _FIGURES.items() if key in numbers]


def describe_evaluation(numbers: Mapping[str, float]) -> list[str]:
    """The accuracy of an evaluation during GRPO on each of its splits, as texts; none without one."""
    return [
        f"evaluated {key.removeprefix('eval_').removesuffix('/accuracy')} {percent(value)}"
        for key, value in numbers.items()
        if key.startswith("eval_") and key.endswith("/accuracy")
    ]
