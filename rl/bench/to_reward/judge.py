"""The sampled reward of a policy in training, measured outside the clock.

In: the weights of a contestant every few updates. Out: its curve. Both contestants are judged by the same
embedded engine on the same held-out problems with the same seeds at temperature 1, so that equal weights have
equal rewards.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from configs import Config
from envs import Split
from rl.bench.to_reward.curve import Point
from rl.build import build_pool, checked_memory
from rl.models.policy import Policy, trainable_weights
from rl.parts import Parts
from rollout.types import GroupRequest

_PER_CALL = 64  # problems in one engine call


class Judge:
    """Samples held-out problems with given weights."""

    def __init__(self, config: Config, parts: Parts, policy: Policy, *, num_problems: int) -> None:
        """Build an engine of its own.

        Args:
            config: The run.
            parts: Its task and reward.
            policy: Gives model and encoder.
            num_problems: Problems of the id split, sampled once each.
        """
        self._pool = build_pool(config, parts, policy, checked_memory(config, policy))
        requests = [
            GroupRequest(
                group_id=index,
                split=Split.ID,
                index=index,
                budget=None,
                num_samples=1,
                seed=config.seed,
                evaluation=True,
            )
            for index in range(num_problems)
        ]
        self._batches = [requests[i : i + _PER_CALL] for i in range(0, num_problems, _PER_CALL)]

    def reward(self, model: torch.nn.Module) -> float:
        """Mean reward of the samples."""
        self._pool.publish(trainable_weights(model), 0)
        batches = self._pool.rollout(self._batches)
        samples = [sample for batch in batches for group in batch.groups for sample in group.samples]
        return statistics.fmean(sample.score.total for sample in samples)

    def close(self) -> None:
        """Free the engine."""
        self._pool.close()


class Clock(TrainerCallback):
    """Times a trainer, and stops the time while its policy is judged.

    Attributes:
        points: The curve so far; the first point is the warm start.
    """

    def __init__(
        self,
        judge: Judge,
        start: Point,
        *,
        every: int,
        is_over: Callable[[list[Point]], bool] = lambda points: False,
        on_point: Callable[[Point], None] = lambda point: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Set up; time starts with the training.

        Args:
            judge: Measures rewards.
            start: The warm start.
            every: Updates between two measurements.
            is_over: Whether the training may end here, given the curve.
            on_point: Called with each point.
            clock: Seconds.
        """
        self.points = [start]
        self._judge = judge
        self._every = every
        self._is_over = is_over
        self._on_point = on_point
        self._clock = clock
        self._started = self._clock()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the time."""
        self._started = self._clock()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Measure, if it is time to."""
        if state.global_step % self._every:
            return
        stopped = self._clock()
        assert model is not None
        reward = self._judge.reward(model)
        self.points.append(Point(update=state.global_step, seconds=stopped - self._started, reward=reward))
        self._on_point(self.points[-1])
        control.should_training_stop = control.should_training_stop or self._is_over(self.points)
        self._started += self._clock() - stopped
