"""Published rewards on length.

The presets in `configs/rewards/` hold the weights and gates that turn these values into the formulas of the
papers, up to a constant that every sample of a group gets, which changes no advantage.

L is the length of a completion in tokens (`Trace.num_tokens`). With `unit: steps` it is the number of reasoning
steps, where a trace that has not passed (`steps.py`) counts at least as many as the full trace. A "right"
sample has the right answer; c is 1 for it and 0 for a wrong one. z is the standard score (L - mean) / deviation
over the group's right samples, with the population deviation.

Where a paper charges for tokens, so does the reward: `per_tokens` tokens cost 1, whatever the length limit is.
Where it compares lengths with each other or with the limit, values are shares in [0, 1]. `limit` is the run's
length limit, `rollout.max_new_tokens`, unless the config's `args` give another one.
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
_FLAT = 1e-6  # lengths count as equal if their deviation is below this share of their mean
_MOST_WHEN_RIGHT = 0.85  # HAPO's floor for right answers, -0.7, on this scale


@reward(limit=True, per_tokens=True)
def token_count(problem: Problem, trace: Trace, *, per_tokens: int = 1000, limit: int) -> float:
    """L / `per_tokens`: the flat "shorter is better".

    Range: [0, `limit` / `per_tokens`]. Example: 250 tokens, 1,000 of which cost 1: 0.25.
    """
    return min(trace.num_tokens, limit) / per_tokens


@reward(group=True, when_wrong=(0, 0.5))
def length_in_range(problem: Problem, traces: Sequence[Trace], *, unit: Unit = "tokens") -> list[float]:
    """Place of L between the group's shortest (0) and longest (1) sample; wrong samples: its excess over 0.5.

    Kimi k1.5 (arXiv 2501.12599, section 2.3.3) adds lambda = 0.5 - (L - min) / (max - min) for right answers
    and min(0, lambda) for wrong ones, and 0 where all lengths are equal. This is 0.5 - lambda for right answers
    (the weight of `correct` returns the 0.5) and -min(0, lambda) for wrong ones.

    Range: right [0, 1], wrong [0, 0.5]. Example: right samples of 10 and 30 tokens, wrong ones of 15 and 25: 0,
    1, 0, 0.25.
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
    """sigmoid(z) for right answers, 0 for wrong ones.

    Arora and Zanette (arXiv 2502.04463): r = c (1 - alpha sigmoid(z)).

    Range: right (0, 1), wrong 0. Example: right samples of 10 and 30 tokens have mean 20 and deviation 10, so
    the values are sigmoid(-1) = 0.269 and sigmoid(1) = 0.731.
    """
    lengths = [_length(problem, trace, unit) for trace in traces]
    return [0.0 if z is None else _sigmoid(z) for z in _standard_scores(traces, lengths)]


@reward(group=True, when_wrong=(0, 0))
def length_exponential(
    problem: Problem, traces: Sequence[Trace], *, alpha: float = 0.05, unit: Unit = "tokens"
) -> list[float]:
    """min(1, exp(-alpha z) / 2) for right answers, 0 for wrong ones.

    GRPO-LEAD (arXiv 2504.09696): r = exp(-alpha z) for right answers, -1 for wrong ones.

    Range: right (0, 1], wrong 0. Example: right samples of 10 and 30 tokens, alpha 0.05: 0.5256 and 0.4756.
    """
    lengths = [_length(problem, trace, unit) for trace in traces]
    scores = _standard_scores(traces, lengths)
    return [0.0 if z is None else min(1.0, math.exp(-alpha * z) / 2) for z in scores]


@reward(group=True, limit=True, per_tokens=True)
def length_off_shortest(
    problem: Problem, traces: Sequence[Trace], *, per_tokens: int = 1000, limit: int
) -> list[float]:
    """|L - SOL| / `per_tokens`, where SOL is the length of the group's shortest right sample.

    ShorterBetter (arXiv 2504.21370): r = alpha c - beta |L - SOL|, SOL being the sample optimal length; the
    authors' code has alpha = 2 and beta = 0.001. Without a right sample, SOL is the group's mean length.

    Range: [0, `limit` / `per_tokens`]. Example: right samples of 100 and 300 tokens and a wrong one of 50: 0,
    0.2, 0.05.
    """
    lengths = [min(trace.num_tokens, limit) for trace in traces]
    right = [length for trace, length in zip(traces, lengths, strict=True) if trace.correct]
    target = min(right) if right else fmean(lengths)
    return [abs(length - target) / per_tokens for length in lengths]


@reward(group=True, limit=True, per_tokens=True)
def length_by_solve_rate(
    problem: Problem, traces: Sequence[Trace], *, per_tokens: int = 1000, limit: int
) -> list[float]:
    """max(p, 1 / G) L / `per_tokens`, where p is the group's accuracy: length costs more on easy problems.

    ALP (arXiv 2506.05256): r = c - beta / N max(p, 1 / K) L, where p is the solve rate over K samples and N a
    constant, here `per_tokens`.

    Range: (0, `limit` / `per_tokens`]. Example: 4 samples of 500 tokens: 0.375 each with 3 right, 0.125 with
    none right.
    """
    share = max(group_accuracy(traces), 1 / len(traces))
    return [share * min(trace.num_tokens, limit) / per_tokens for trace in traces]


@reward(group=True, when_wrong=(0, 0))
def length_over_tolerance(problem: Problem, traces: Sequence[Trace], *, tolerance: int = 200) -> list[float]:
    """(L - min) / (max - min) over right samples, if L exceeds the shortest by more than `tolerance` tokens.

    Short-RL's lazy length penalty (arXiv 2505.12284): r = 0.5 - (L - min) / (max - min) for right samples
    beyond the tolerance, 0.5 for other right ones; this is 0.5 - r. The tolerance of the authors' code is 200
    tokens. The paper's third condition, that the accuracy of the batch is within a tolerance of its best, is
    `when.off_best`.

    Range: right [0, 1], wrong 0. Example: right samples of 100, 140 and 500 tokens, tolerance 50: 0, 0, 1.
    """
    right = [trace.num_tokens for trace in traces if trace.correct]
    low = min(right, default=0)
    return [
        (trace.num_tokens - low) / (max(right) - low)
        if trace.correct and trace.num_tokens > low + tolerance
        else 0.0
        for trace in traces
    ]


@reward(limit=True, ascending=("target", "limit"))
def within_length(problem: Problem, trace: Trace, *, target: int, limit: int) -> float:
    """1 where L is at most `target` tokens, else 0.

    LASER (arXiv 2505.15612): 0.5 more for a right answer within the target length. The authors trained with
    targets of 2,048, 4,096 and 8,192. A target above the limit would be met by every answer, so it is refused.

    Range: 0 or 1. Example: target 50: 50 tokens give 1, 51 give 0.
    """
    return float(trace.num_tokens <= min(target, limit))


@reward(group=True, history=True, limit=True)
def within_target_length(
    problem: Problem, traces: Sequence[Trace], *, history: History, limit: int
) -> list[float]:
    """1 where L is at most the target length of the group's accuracy class, else 0.

    LASER-D (arXiv 2505.15612): LASER with a target for each of three difficulty classes, updated during
    training (`RunHistory` says how). Before a class has a target, the limit takes its place.

    Range: 0 or 1. Example: targets (120, 200, 310), 5 of 8 samples right, so the second class: 1 up to 200
    tokens.
    """
    target = history.targets[accuracy_class(group_accuracy(traces))]
    most = limit if target is None else target
    return [float(trace.num_tokens <= most) for trace in traces]


@reward(history=True, when_wrong=(0.5, 1), when_right=(0, 0.85))
def length_over_history(problem: Problem, trace: Trace, *, history: History) -> float:
    """(1 - f) / 2, where f is the cosine of L relative to h, the shortest right answer to this problem so far.

    HAPO (arXiv 2505.11225): r = c + w f with f = cos(pi / 2 min(L / h, 2)), at least -0.7 for right answers and
    at most 0 for wrong ones. Without a right answer so far, f is 0.

    Range: right [0, 0.85], wrong [0.5, 1]. Example, h = 100: with 50 tokens, f = cos(pi / 4), so 0.146 if right
    and 0.5 if wrong; with 200 tokens 0.85 and 1.
    """
    if history.shortest is None:
        return 0.5
    f = math.cos(math.pi / 2 * min(trace.num_tokens / max(1, history.shortest), 2.0))
    value = (1.0 - f) / 2.0
    return min(value, _MOST_WHEN_RIGHT) if trace.correct else max(value, 0.5)


@reward(limit=True)
def length_overlong(problem: Problem, trace: Trace, *, buffer: float = 0.2, limit: int) -> float:
    """0 up to (1 - `buffer`) `limit`, from there rising linearly to 1 at `limit`.

    DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), whose buffer is 0.2 of the limit.

    Range: [0, 1]. Example: limit 1,000, buffer 0.2, 850 tokens: 0.25.
    """
    start = limit * (1.0 - buffer)
    if trace.num_tokens <= start:
        return 0.0
    return min(1.0, (trace.num_tokens - start) / (limit - start)) if start < limit else 1.0


@reward(limit=True)
def length_cosine(problem: Problem, trace: Trace, *, limit: int) -> float:
    """(1 - cos(pi min(1, L / `limit`))) / 2: 0 for no tokens, 1 at the limit, steepest half-way.

    The cosine reward (arXiv 2502.03373) interpolates with this between the reward of the shortest right answer
    and that of the longest.

    Range: [0, 1]. Example: half the limit: 0.5.
    """
    return (1.0 - math.cos(math.pi * min(1.0, trace.num_tokens / limit))) / 2.0


@reward(limit=True, when_right=(0, 0))
def wrong_length_cosine(problem: Problem, trace: Trace, *, limit: int) -> float:
    """`length_cosine` for wrong answers that end before the limit, else 0.

    The cosine reward (arXiv 2502.03373) for wrong answers: it rises with length from the worst reward, and is
    the worst again at the limit.

    Range: right 0, wrong [0, 1). Example: a wrong answer of half the limit: 0.5.
    """
    if trace.correct or trace.status is Status.TRUNCATED or trace.num_tokens >= limit:
        return 0.0
    return length_cosine(problem, trace, limit=limit)


@reward(group=True, when_wrong=(0, 0), ascending=("few", "many"))
def reflection_and_length(
    problem: Problem, traces: Sequence[Trace], *, few: int = 1, many: int = 3
) -> list[float]:
    """A mean, w sigmoid(z of backtracks) + (1 - w) sigmoid(z of L) for right answers, 0 for wrong ones.

    w is 0.25 up to `few` backtracks, 0.5 up to `many`, else 0.75.

    ARLCP (arXiv 2602.12113): r = c - a1 sigmoid(z of reflections) - a2 sigmoid(z of length) with a1 + a2 = 0.2
    and a1 = 0.05, 0.1 or 0.15 for up to 40, up to 80 and more reflecting words. Backtracks take the place of
    the words here (in free text: sentences that go back).

    Range: right (0, 1), wrong 0. Example: right samples with 0 backtracks in 10 tokens and 2 in 30: both z are
    -1 and 1, so the values are sigmoid(-1) = 0.269 and sigmoid(1) = 0.731 whatever the weights.
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
    return trace.num_steps if trace.passed else max(trace.num_steps, problem.num_full_steps)


def _standard_scores(traces: Sequence[Trace], amounts: Sequence[int]) -> list[float | None]:
    """The standard score z of each right sample, 0 for all if they are equal; None for wrong samples."""
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
