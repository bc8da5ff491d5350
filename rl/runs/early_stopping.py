"""The best model of the evaluations during GRPO, and when early stopping ends the stage."""

from __future__ import annotations

import math
from typing import Protocol

from configs.schema.config import EvalConfig
from rl.runs.record import BestModel


class Judged(Protocol):
    """What decides between models: some figures of a `SplitResult`."""

    @property
    def num_problems(self) -> int:
        """Problems evaluated."""

    @property
    def accuracy(self) -> float:
        """Share answered correctly."""

    @property
    def verified(self) -> float | None:
        """Share answered correctly with no step invalid; None where steps are not checked."""

    @property
    def steps_per_correct(self) -> float | None:
        """Mean steps over correct answers; None without one."""


def is_over(settings: EvalConfig, best: BestModel | None, update: int) -> bool:
    """Whether early stopping ends GRPO after an update."""
    if settings.patience is None or settings.every is None or best is None:
        return False
    return update // settings.every - best.update // settings.every >= settings.patience


def next_best(best: BestModel | None, update: int, metric: str, split: str, result: Judged) -> BestModel:
    """The best model after one more evaluation: the one before, or that of `update`.

    The one before only counts if it was judged by the same metric on the same problems. With the metric `steps`
    an accuracy is good enough if it is within one standard error of the highest so far (the one-standard-error
    rule; Breiman et al. 1984, section 3.4.3).

    Args:
        best: The best so far, or None.
        update: The update that was evaluated.
        metric: `eval.best`.
        split: Split of the problems.
        result: The result on them.
    """
    num = result.num_problems
    judged = (metric, split, num)
    same = best if best and (best.metric, best.split, best.num_problems) == judged else None
    peak = max(result.accuracy, same.highest_accuracy if same else 0.0)
    new = BestModel(
        update=update,
        metric=metric,
        split=split,
        num_problems=num,
        accuracy=result.accuracy,
        verified=result.verified,
        steps_per_correct=result.steps_per_correct,
        highest_accuracy=peak,
    )
    if same is None or _rank(new, peak) > _rank(same, peak):
        return new
    return same


def _rank(model: BestModel, peak: float) -> tuple[float, float]:
    """The better of two models has the larger rank; the second number decides where the first is equal."""
    steps = math.inf if model.steps_per_correct is None else model.steps_per_correct
    if model.metric == "steps":
        error = math.sqrt(peak * (1 - peak) / model.num_problems)
        return (-steps, model.accuracy) if model.accuracy >= peak - error else (-math.inf, model.accuracy)
    return (model.verified or 0.0 if model.metric == "verified" else model.accuracy), -steps
