"""Published rewards on length, each as a share in [0, 1].

A preset in `configs/rewards/` has the weights and gates that make of them the formula of its paper, up to a
constant that all samples get alike, which changes no advantage.

L is the length of a completion in tokens, `Trace.num_tokens`; with `unit: steps`, in reasoning steps, where a
trace that is not verified counts as no shorter than the full one. `limit` is the run's length limit,
`rollout.max_new_tokens`, unless it is given. "Right" samples are those whose answer is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Literal

from envs import Problem, Status, Trace
from rewards.correctness import group_accuracy
from rewards.declare import reward
from rewards.history import History, accuracy_class

Unit = Literal["tokens", "steps"]
_FLAT = 1e-6  # lengths whose deviation is less than this share of their mean are equal
_MOST_WHEN_RIGHT = 0.85  # HAPO's floor for right answers, -0.7, on this scale


@reward(limit=True)
def token_count(problem: Problem, trace: Trace, *, limit: int) -> float:
    """L / `limit`, at most 1: the flat "shorter is better".

    Example: 50 tokens of 200: 0.25.
    """
    return min(1.0, trace.num_tokens / limit)


@reward(group=True, when_wrong=(0, 0.5))
def length_in_range(problem: Problem, traces: Sequence[Trace], *, unit: Unit = "tokens") -> list[float]:
    """Where L lies between the group's shortest and longest sample; of a wrong sample the upper half only.

    Kimi k1.5 (arXiv 2501.12599, section 2.3.3) adds lambda = 0.5 - (L - min) / (max - min) where the answer
    is right, min(0, lambda) where it is wrong, and 0 if all are as long. This is 0.5 - lambda where right
    (the weight of `correct` gives the 0.5 back) and -min(0, lambda) where wrong.

    Example: right samples of 10 and 30 tokens, wrong ones of 15 and 25: 0, 1, 0, 0.25.
    """
    lengths = [_length(problem, trace, unit) for trace in traces]
    low, high = min(lengths), max(lengths)
    values = []
    for trace, length in zip(traces, lengths, strict=True):
        place = (length - low) / (high - low) if high > low else 0.5
        values.append(place if trace.correct else max(0.0, place - 0.5))
    return values


@reward(group=True, when_wrong=(0, 0))
def length_sigmoid(problem: Problem, traces: Sequence[Trace], *, unit: Unit = "tokens") -> list[float]:
    """sigmoid((L - mean) / deviation), both over the group's right samples; 0 where wrong.

    Arora and Zanette (arXiv 2502.04463): r = c (1 - alpha sigmoid(...)).

    Example: right samples of 10 and 30 tokens: mean 20, deviation 10, values sigmoid(-1) and sigmoid(1),
    0.269 and 0.731.
    """
    lengths = [_length(problem, trace, unit) for trace in traces]
    return [0.0 if z is None else _sigmoid(z) for z in _standard_scores(traces, lengths)]


@reward(group=True, when_wrong=(0, 0))
def length_exponential(
    problem: Problem, traces: Sequence[Trace], *, alpha: float = 0.05, unit: Unit = "tokens"
) -> list[float]:
    """exp(-alpha z) / 2, at most 1, z as in `length_sigmoid`; 0 where wrong.

    GRPO-LEAD (arXiv 2504.09696): exp(-alpha z) where right, -1 where wrong.

    Example: right samples of 10 and 30 tokens, alpha 0.05: 0.5256 and 0.4756.
    """
    lengths = [_length(problem, trace, unit) for trace in traces]
    scores = _standard_scores(traces, lengths)
    return [0.0 if z is None else min(1.0, math.exp(-alpha * z) / 2) for z in scores]


@reward(group=True, limit=True)
def length_off_shortest(problem: Problem, traces: Sequence[Trace], *, limit: int) -> list[float]:
    """|L - the shortest right sample| / `limit`, at most 1; without a right sample, from the group's mean.

    ShorterBetter (arXiv 2504.21370): r = alpha c - beta |L - SOL|, SOL the sample optimal length.

    Example: right samples of 100 and 300 tokens, a wrong one of 50, limit 1,000: 0, 0.2, 0.05.
    """
    lengths = [trace.num_tokens for trace in traces]
    right = [trace.num_tokens for trace in traces if trace.correct]
    target = min(right) if right else fmean(lengths)
    return [min(1.0, abs(length - target) / limit) for length in lengths]


@reward(group=True, limit=True)
def length_by_solve_rate(problem: Problem, traces: Sequence[Trace], *, limit: int) -> list[float]:
    """L / `limit`, at most 1, times the share of the group that is right, at least 1 / G: what is easy pays.

    ALP (arXiv 2506.05256): r = c - beta L max(p, 1 / K) / N, p the solve rate of the prompt's K samples.

    Example: 4 samples of 500 tokens, 3 of them right, limit 1,000: 0.375 each; none right: 0.125.
    """
    share = max(group_accuracy(traces), 1 / len(traces))
    return [share * min(1.0, trace.num_tokens / limit) for trace in traces]


@reward(group=True, limit=True, when_wrong=(0, 0))
def length_over_tolerance(
    problem: Problem, traces: Sequence[Trace], *, tolerance: float = 0.05, limit: int
) -> list[float]:
    """Where L lies in the range of right samples, if it is more than `tolerance` * `limit` over the shortest.

    Short-RL's lazy length penalty (arXiv 2505.12284): 0.5 - (L - min) / (max - min) for right samples beyond
    the tolerance, 0.5 for the others; this is 0.5 minus that. Its third condition, the accuracy of the batch
    not more than a tolerance below its best, is `when.off_best`.

    Example: right samples of 100, 140 and 500 tokens, limit 1,000, tolerance 0.05: 0, 0, 1.
    """
    right = [trace.num_tokens for trace in traces if trace.correct]
    low, slack = min(right, default=0), tolerance * limit
    return [
        (trace.num_tokens - low) / (max(right) - low)
        if trace.correct and trace.num_tokens > low + slack
        else 0.0
        for trace in traces
    ]


@reward(limit=True)
def within_length(problem: Problem, trace: Trace, *, share: float = 0.5, limit: int) -> float:
    """1 where L is at most `share` * `limit`, else 0.

    LASER (arXiv 2505.15612): 0.5 more for a right answer within the target length.
    """
    return float(trace.num_tokens <= share * limit)


@reward(group=True, history=True, limit=True)
def within_target_length(
    problem: Problem, traces: Sequence[Trace], *, history: History, limit: int
) -> list[float]:
    """1 where L is at most the target of the group's class of accuracy, else 0; the limit where none is known.

    LASER-D (arXiv 2505.15612): as LASER, with targets that are chosen anew in training, for three
    classes of difficulty. How: `RunHistory`.

    Example: targets (120, 200, 310), 5 of 8 samples right, so the second class: 1 up to 200 tokens.
    """
    target = history.targets[accuracy_class(group_accuracy(traces))]
    most = limit if target is None else target
    return [float(trace.num_tokens <= most) for trace in traces]


@reward(history=True, when_wrong=(0.5, 1), when_right=(0, 0.85))
def length_over_history(problem: Problem, trace: Trace, *, history: History) -> float:
    """(1 - f) / 2, f the cosine of L over the shortest right answer so far: 0.5 at as long, 0.5 without one.

    HAPO (arXiv 2505.11225): r = c + w f, f = cos(pi / 2 min(L / h, 2)), at least -0.7 where right
    and at most 0 where wrong, h the problem's history.

    Example: h 100; right with 50 tokens: f = cos(pi / 4), value 0.146; wrong with 50: 0.5; either with 200:
    0.85 and 1.
    """
    if history.shortest is None:
        return 0.5
    f = math.cos(math.pi / 2 * min(trace.num_tokens / max(1, history.shortest), 2.0))
    value = (1.0 - f) / 2.0
    return min(value, _MOST_WHEN_RIGHT) if trace.correct else max(value, 0.5)


@reward(limit=True)
def length_overlong(problem: Problem, trace: Trace, *, buffer: float = 0.2, limit: int) -> float:
    """0 up to `limit` less `buffer` of it, from there linearly to 1 at the limit.

    DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), whose buffer is 0.2 of the limit.

    Example: limit 1,000, buffer 0.2, 850 tokens: 0.25.
    """
    most = limit
    start = most * (1.0 - buffer)
    if trace.num_tokens <= start:
        return 0.0
    return min(1.0, (trace.num_tokens - start) / (most - start)) if start < most else 1.0


@reward(limit=True)
def length_cosine(problem: Problem, trace: Trace, *, limit: int) -> float:
    """(1 - cos(pi L / `limit`)) / 2: 0 for nothing, 1 at the limit, steepest between.

    The cosine reward (arXiv 2502.03373): a right answer's reward falls by this from that of the
    shortest to that of the longest.

    Example: half the limit: 0.5.
    """
    return (1.0 - math.cos(math.pi * min(1.0, trace.num_tokens / limit))) / 2.0


@reward(limit=True, when_right=(0, 0))
def wrong_length_cosine(problem: Problem, trace: Trace, *, limit: int) -> float:
    """`length_cosine` where a finished text is wrong, else 0: what a wrong answer gets back by a longer try.

    The other half of the cosine reward: wrong answers rise from the worst reward to that of the limit, and fall
    back to the worst where they run into it.
    """
    if trace.correct or trace.status is Status.TRUNCATED or trace.num_tokens >= limit:
        return 0.0
    return length_cosine(problem, trace, limit=limit)


@reward(group=True, when_wrong=(0, 0), ascending=("few", "many"))
def reflection_and_length(
    problem: Problem, traces: Sequence[Trace], *, few: int = 1, many: int = 3
) -> list[float]:
    """A mean of two sigmoids over right samples, of backtracks and of L; 0 where wrong.

    ARLCP (arXiv 2602.12113): r = c - a1 sigmoid(z of reflections) - a2 sigmoid(z of length), a1 + a2 = 0.2,
    and a1 0.05, 0.1 or 0.15 for up to 40, up to 80 and more reflecting words. Here backtracks (of free text:
    sentences that go back) take the place of the words, so up to `few`, up to `many` and more.

    Example: right samples with 0 backtracks in 10 tokens and 2 in 30: both z are -1 and 1. The first weighs
    them 1/4 to 3/4, the second 1/2 to 1/2: 0.269, 0.731.
    """
    counts = [trace.num_backtracks for trace in traces]
    by_count = _standard_scores(traces, counts)
    by_length = _standard_scores(traces, [trace.num_tokens for trace in traces])
    values = []
    for count, z_count, z_length in zip(counts, by_count, by_length, strict=True):
        weight = 0.25 if count <= few else 0.5 if count <= many else 0.75
        values.append(
            0.0
            if z_count is None or z_length is None
            else weight * _sigmoid(z_count) + (1.0 - weight) * _sigmoid(z_length)
        )
    return values


def _length(problem: Problem, trace: Trace, unit: Unit) -> int:
    if unit == "tokens":
        return trace.num_tokens
    return trace.num_steps if trace.verified else max(trace.num_steps, problem.num_full_steps)


def _standard_scores(traces: Sequence[Trace], amounts: Sequence[int]) -> list[float | None]:
    """(amount - mean) / deviation over right samples; 0 for all if they are equal, None where wrong."""
    right = [amount for trace, amount in zip(traces, amounts, strict=True) if trace.correct]
    if not right:
        return [None] * len(traces)
    mean, deviation = fmean(right), pstdev(right)
    if deviation <= _FLAT * mean:
        deviation = math.inf
    pairs = zip(traces, amounts, strict=True)
    return [(amount - mean) / deviation if trace.correct else None for trace, amount in pairs]


def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))
