"""`decs`: length costs only after the necessary prefix (DECS, arXiv 2509.25827, and the released code).

A token of a sample with the reward c is rewarded (1 + beta) c. In a right sample those after the necessary
reasoning prefix, up to the closing line, have beta |c| L / L_max less, with L the tokens of the completion and
L_max the length limit: for the authors' c = 1 that is c + beta (1 - L / L_max), and it is a price for a c that
other terms have made smaller too. The advantage of a token is its reward less the mean over the group at the
same place, where a completion that has ended counts on with (1 + beta) c; `grpo.scale_rewards: group` divides
by the deviation there, as the authors do.

The authors find the prefix with a model that is asked which segment first has the answer. Here it ends with the
first line after which nothing remains to be done (`Env.remaining`), which is exact. Their schedule of easy
prompts is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from envs.line_facts import LineFacts
from rl.grpo.credit.rule import CreditGroup, Span

_EPSILON = 1e-6  # as in the released code


def decs_credit(
    group: CreditGroup, *, beta: float, max_length: int, own_deviation: bool = False
) -> list[list[float]]:
    """Advantages of tokens.

    Example: a right sample of 20 tokens of at most 100, the last 4 of which, before the closing line, are
    redundant; beta 0.1: rewards 1.1, and 1 + 0.1 * 0.8 = 1.08 on the 4.

    Args:
        group: A group whose samples have facts.
        beta: The part of the length in the reward; 0.1 in the authors' settings.
        max_length: L_max in tokens.
        own_deviation: Divide by the deviation of the rewards at each place, in place of the group's divisor.
    """
    lengths = [len(sample.completion.ids) for sample in group.samples]
    rewards_GT = torch.zeros((len(lengths), max(lengths)), dtype=torch.float64)
    for row, (sample, spans, right) in enumerate(
        zip(group.samples, group.spans, group.group.right, strict=True)
    ):
        reward = sample.score.total
        rewards_GT[row] = (1 + beta) * reward
        first, end = redundant_tokens(sample.facts or (), spans)
        if right:
            rewards_GT[row, first:end] = (1 + beta) * reward - beta * abs(reward) * lengths[row] / max_length
    centred_GT = rewards_GT - rewards_GT.mean(0)
    if own_deviation and len(lengths) > 1:
        centred_GT = centred_GT / (rewards_GT.std(0) + _EPSILON)
    else:
        centred_GT = centred_GT / group.divisor
    return [centred_GT[row, :length].tolist() for row, length in enumerate(lengths)]


def redundant_tokens(facts: Sequence[LineFacts], spans: Sequence[Span]) -> Span:
    """The tokens of the lines after the first one that ends the task; an empty span where no line follows it.

    Args:
        facts: Of the lines.
        spans: Their tokens.
    """
    last = sufficient_line(facts)
    return (0, 0) if last is None else (spans[last][1], spans[-1][1])


def sufficient_line(facts: Sequence[LineFacts]) -> int | None:
    """The place of the first line after which nothing remains to be done; None if there is none."""
    return next((place for place, fact in enumerate(facts) if fact.after == 0), None)
