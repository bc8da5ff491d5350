"""The progress of a stage: every update into the run's log, and a line a person can read."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rl.runs.log import RowLog
from rl.runs.record import Stage, UpdateRow
from rl.stats.format import duration


class ProgressCallback(TrainerCallback):
    """Writes every logged update to `metrics.jsonl` and shows it on one line.

    On a terminal the line is rewritten in place; elsewhere a line is printed every few seconds.
    """

    def __init__(
        self, stage: Stage, log: RowLog[UpdateRow], *, every_s: float = 10.0, out: TextIO = sys.stderr
    ) -> None:
        self._stage = stage
        self._log = log
        self._every_s = every_s
        self._out = out
        self._shown_at = -math.inf
        self._started_at = time.perf_counter()
        self._first_update = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started_at = time.perf_counter()
        self._first_update = state.global_step

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
        now, last = time.perf_counter(), state.global_step >= state.max_steps
        terminal = self._out.isatty()
        if not last and now - self._shown_at < (0.2 if terminal else self._every_s):
            return
        self._shown_at = now
        each_s = (now - self._started_at) / max(1, state.global_step - self._first_update)
        left_s = each_s * (state.max_steps - state.global_step)
        line = f"{self._stage} {state.global_step}/{state.max_steps}  {_summary(numbers)}  "
        line += f"{each_s:.2f} s/update  {duration(left_s)} left"
        rewrite, end = ("\r\x1b[K", "\n" if last else "") if terminal else ("", "\n")
        self._out.write(f"{rewrite}{line}{end}")
        self._out.flush()


_SHOWN = {
    "reward": "reward {:.3f}",
    "accuracy": "acc {:.1%}",
    "steps_per_correct": "steps {:.2f}",
    "steps_saved": "saved {:.1%}",
    "backtracks": "backtracks {:.2f}",
    "groups/useful_frac": "useful {:.0%}",
    "logprob_diff/max": "dlogp {:.0e}",
    "tokens_per_s": "{:,.0f} tok/s",
}


def _summary(numbers: Mapping[str, float]) -> str:
    parts = [form.format(numbers[key]) for key, form in _SHOWN.items() if key in numbers]
    return "  ".join(parts) if parts else f"loss {numbers['loss']:.4f}"
