"""How far two distributions of final answers are apart, and how far chance alone would put them.

Step importance by resampling is that of Thought Anchors (arXiv 2506.19143, section 3): the divergence

    KL(answers of continuations before the step || answers of continuations after it), in nats.

The authors' code sets probabilities that were never met to 1e-9 or adds 1 to each count. With a few dozen
continuations the former makes one missing answer worth 20 nats, so here it is the latter. An estimate from few
continuations is above 0 even where a step changes nothing: `chance_divergence` is what it would be then, and
importance is the divergence less that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_SHUFFLES = 200


class Answer(NamedTuple):
    """How a completion ends.

    Attributes:
        text: The answer that it states, or the problem's own where that is right; None if it states none.
        right: Whether it is right.
    """

    text: str | None
    right: bool


def divergence(before: Sequence[Answer], after: Sequence[Answer]) -> float:
    """KL divergence in nats between two samples of answers, each count plus 1 (Laplace).

    Example: 2 of "4" before and 2 of "5" after: probabilities 3/4, 1/4 and 1/4, 3/4, so
    3/4 ln 3 - 1/4 ln 3 = 0.549.
    """
    first, second = _one_hot(before, after)
    return float(_divergences(first.sum(0), second.sum(0)))


def chance_divergence(
    before: Sequence[Answer], after: Sequence[Answer], *, paired: bool, rng: np.random.Generator
) -> float:
    """The divergence to expect if it made no difference which of the two samples an answer is from.

    The mean over random relabellings, as in a permutation test.

    Args:
        before: Answers of continuations before a step.
        after: Answers of continuations after it.
        paired: Answer n of both was sampled with the same random numbers, so only these two trade places.
        rng: Draws the relabellings.
    """
    first, second = _one_hot(before, after)
    if paired:
        stay = rng.random((_SHUFFLES, len(first))) < 0.5
        ours = stay @ first + ~stay @ second
    else:
        every = np.concatenate([first, second])
        order = rng.permuted(np.tile(np.arange(len(every)), (_SHUFFLES, 1)), axis=1)[:, : len(first)]
        ours = every[order].sum(1)
    theirs = first.sum(0) + second.sum(0) - ours
    return float(_divergences(ours, theirs).mean())


def _one_hot(before: Sequence[Answer], after: Sequence[Answer]) -> tuple[Any, Any]:
    """For each answer of both samples, which of the different ones it is."""
    place = {answer: number for number, answer in enumerate(dict.fromkeys([*before, *after]))}
    table = np.eye(len(place))
    return table[[place[answer] for answer in before]], table[[place[answer] for answer in after]]


def _divergences(before: Any, after: Any) -> Any:
    """KL divergences along the last axis, from counts of each answer."""
    p, q = ((counts + 1) / (counts + 1).sum(-1, keepdims=True) for counts in (before, after))
    return (p * np.log(p / q)).sum(-1)
