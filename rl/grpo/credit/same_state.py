"""`same_state`: samples that stand in the same state are compared there once more (GiGPO, arXiv 2505.10978).

A = A_E + omega A_S (equation 8 there). A_E is the advantage of the sample. A_S compares, among all lines of a
group that were written in the same state, the rewards that followed: R = gamma^n r, with n the lines left to
the end (equation 6), less their mean, divided as `grpo.scale_rewards` says (equation 7). The closing line is
the last step.

The paper's states are observations; here they are values, so two texts that lead to the same place are the same
state, unless a wrong line stands in one of them. The paper also compares the visits of one sample to a state
with each other; here the first visits are compared, the second ones, and so on, so that samples which took the
same steps get nothing.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, stdev

from rl.grpo.advantages import EPSILON
from rl.grpo.credit.rule import CreditGroup, Visit


def same_state_credit(
    group: CreditGroup, *, weight: float, discount: float, own_deviation: bool = False
) -> list[list[float]]:
    """Advantages of tokens. A state in which a single line was written gives none of it anything.

    Example: from one state a sample writes two lines more and is right, another one writes one more and is
    wrong. With rewards 1 and 0 and a discount of 0.9 their returns there are 0.81 and 0, the mean is 0.405.

    Args:
        group: A group whose samples have facts.
        weight: omega.
        discount: gamma.
        own_deviation: Divide by the deviation of the returns in each state, in place of the group's divisor.
    """
    returns: dict[Visit, list[float]] = defaultdict(list)
    by_sample = []
    for number, sample in enumerate(group.samples):
        states = group.visits_before(number)
        found = [sample.score.total * discount ** (len(states) - 1 - place) for place in range(len(states))]
        by_sample.append((states, found))
        for state, value in zip(states, found, strict=True):
            returns[state].append(value)
    means = {state: fmean(values) for state, values in returns.items()}
    divisors = dict.fromkeys(returns, group.divisor)
    if own_deviation:
        divisors = {state: _divisor(values) for state, values in returns.items()}
    lines = []
    for states, found in by_sample:
        pairs = zip(states, found, strict=True)
        lines.append([weight * (value - means[state]) / divisors[state] for state, value in pairs])
    return group.with_lines(lines)


def _divisor(values: list[float]) -> float:
    return stdev(values) + EPSILON if len(values) > 1 else 1.0
