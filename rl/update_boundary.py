"""A Trainer that can be interrupted at any moment, and is then saved as it was after its last whole update.

::

    forward, backward | optimizer step, scheduler, log -> boundary, checkpoint | forward, ...
    interruptible     | protected                                              | interruptible

Weights and optimizer change in the optimizer step alone. What else a checkpoint holds, such as random states,
is noted at the boundary and put back before the checkpoint is written.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from envs.one_line import one_line
from rl.finite import NotFiniteError
from rl.runs.record import Stage
from rl.stats.format import number
from rl.trainer_callback import check_weights
from rollout.interruption import protected, saved_when_interrupted


@dataclass(frozen=True, kw_only=True, slots=True)
class _Boundary:
    """What changes within an update and belongs into the checkpoint after it."""

    update: int
    flos: float
    tokens_seen: Any
    python: Any
    numpy: Any
    cpu: torch.Tensor
    cuda: torch.Tensor | None

    @staticmethod
    def now(state: TrainerState) -> _Boundary:
        return _Boundary(
            update=state.global_step,
            flos=state.total_flos,
            tokens_seen=state.num_input_tokens_seen,
            python=random.getstate(),
            numpy=np.random.get_state(),
            cpu=torch.get_rng_state(),
            cuda=torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        )

    def put_back(self, state: TrainerState) -> None:
        state.total_flos, state.num_input_tokens_seen = self.flos, self.tokens_seen
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)


class InterruptibleTrainer(Trainer):
    """Mixed into one of TRL's trainers; logs every update.

    Attributes:
        say: Shows a line.
        stage: What is trained.
    """

    say: Callable[[str], None] = staticmethod(lambda line: None)
    stage: Stage
    _boundary: _Boundary | None = None
    _saved = 0  # update of the newest checkpoint

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._update_end = ExitStack()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """See `Trainer.train`; at a signal, what was done is saved.

        Raises:
            KeyboardInterrupt: At SIGINT and SIGTERM, once it is saved.
        """
        self.add_callback(_Seam(self))
        with saved_when_interrupted(self._save_boundary):
            try:
                return super().train(*args, **kwargs)
            finally:
                self.end_update_end()

    def begin(self) -> None:
        """Training begins: what was loaded is what was saved."""
        self._saved = self.state.global_step
        self.mark_boundary()

    def begin_update_end(self) -> None:
        """The optimizer is about to change the weights: no interruption from here to the next boundary."""
        self._boundary = None
        self._update_end.enter_context(protected())

    def end_update_end(self) -> None:
        """The update is whole, logged and, where a checkpoint is due, saved.

        Raises:
            KeyboardInterrupt: A signal came meanwhile.
        """
        self._update_end.close()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Something long within the end of an update, after a boundary."""
        self._update_end.close()
        yield
        self.begin_update_end()

    def mark_boundary(self) -> None:
        """An update is whole."""
        self._boundary = _Boundary.now(self.state)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, after which an update is whole."""
        super().log(logs, start_time)
        if "loss" in logs:
            self.mark_boundary()

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        super()._maybe_log_save_evaluate(*args, **kwargs)
        self.end_update_end()

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self._saved = self.state.global_step

    def _save_boundary(self) -> None:
        boundary, model = self._boundary, self.model
        if model is None or boundary is None or boundary.update in (0, self._saved):
            return
        started = time.monotonic()
        boundary.put_back(self.state)
        self.current_flos = 0
        try:
            check_weights(model, boundary.update)
            self._save_checkpoint(model, None)
        except (OSError, RuntimeError, NotFiniteError) as error:
            said = f"update {boundary.update} could not be saved: {one_line(error)}"
        else:
            said = f"saved update {boundary.update} in {number(time.monotonic() - started, 1)} s"
        self.say(f"{self.stage.label}: {said}")


class _Seam(TrainerCallback):
    """Tells the trainer where training begins and where an update can no longer be interrupted."""

    def __init__(self, trainer: InterruptibleTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Everything is loaded."""
        self._trainer.begin()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The optimizer is about to change the weights."""
        self._trainer.begin_update_end()
