"""`monte_carlo`: a step gets what the mean reward changes by with it (VinePPO, arXiv 2410.01679).

The value of a sample after each step is the mean reward of continuations from there
(`rollout/continuations.py`). The advantage of a step is the value after it less the value before it (equation
10 there, gamma 1, rewards at the end alone), that of what is written after the last value is the reward less
that value. With several steps from one value to the next, they are segments (SPO, arXiv 2505.23564, section
3.1). No baseline of the group is needed.
"""

from __future__ import annotations

from itertools import takewhile
from statistics import fmean, stdev

from rl.grpo.advantages import EPSILON
from rl.grpo.credit.rule import CreditGroup


def monte_carlo_credit(group: CreditGroup, *, own_deviation: bool = False) -> list[list[float]]:
    """Advantages of tokens. Over the segments of a sample they add up to its reward less the mean of the group.

    Example: a right sample of reward 1 in a group of mean 0.5, with a value of 0.25 after its first line and
        none
    later: -0.25 on the first line, 0.75 on what follows.

    Where all samples begin alike, the value is the mean of the group, which rests on more samples than the
    continuations do, so steps that all have taken get nothing.

    Args:
        group: A group whose samples have values.
        own_deviation: Divide by the deviation of the rewards and values of the group, in place of the group's
            divisor: rewards that hardly differ may have values that do.
    """
    start = fmean(group.group.rewards)
    columns = zip(*[sample.completion.ids for sample in group.samples], strict=False)
    alike = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    divisor = group.divisor
    if own_deviation:
        values = [value for sample in group.samples for value in sample.values or () if value is not None]
        divisor = stdev([*group.group.rewards, *values]) + EPSILON if len(group.samples) > 1 else 1.0
    tokens = []
    for sample, spans in zip(group.samples, group.spans, strict=True):
        starts = [first for first, _ in spans] + [end for _, end in spans[-1:]]
        known = [
            (at, value if at > alike else start)
            for at, value in zip(starts, sample.values or (), strict=False)
            if value is not None
        ]
        known = [(0, start), *[(at, value) for at, value in known if at > 0]]
        ends = [*known[1:], (len(sample.completion.ids), sample.score.total)]
        row: list[float] = []
        for (first, before), (end, after) in zip(known, ends, strict=True):
            row += [(after - before) / divisor] * (end - first)
        tokens.append(row)
    return tokens
