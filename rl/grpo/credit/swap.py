"""`swap`: excess length costs right samples on their least important steps (SwAP, arXiv 2603.00296).

The importance of a step is the rise of the log-probability, under the policy, of the closing line with the
right answer from before the step to after it. A right sample that is longer than the shortest right one of its
group pays for the excess, and its steps share that payment by their importance, the least important ones most.
The paper adds it to the outcome's advantage, and so does this.

Two things are ours, since they follow from nothing above: the payment is `weight` times the excess as a share
of the shortest length, at most 1, on each token of the sample on average; and steps share it by a softmax of
minus their importance in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl.grpo.credit.rule import CreditGroup
from rollout.types import RolloutGroup


def swap_credit(group: CreditGroup, *, weight: float) -> list[list[float]]:
    """Advantages of tokens: that of the sample, less what a step pays on each of its tokens.

    Example: right samples of 10 and 15 tokens, weight 0.2. The longer one pays 0.2 * 0.5 = 0.1 for each of its
    15 tokens, 1.5 in all. Of two steps of 4 tokens with the importances 0 and 2 nats the first pays 0.881 of
    it, 0.330 on each token, the second 0.119.

    Args:
        group: A group with importances; without them steps pay alike.
        weight: What an excess as long as the shortest right sample costs, on each token.
    """
    lengths, shortest = [len(sample.completion.ids) for sample in group.samples], _shortest(group.group)
    importances = group.importances or [[0.0] * len(spans) for spans in group.spans]
    lines: list[list[float]] = []
    pays = pays_for_length(group.group)
    for length, is_long, spans, own in zip(lengths, pays, group.spans, importances, strict=True):
        if not is_long:
            lines.append([])
            continue
        payment = weight * min(1.0, length / shortest - 1.0) * length / group.scale
        shares = softmin(own)
        lines.append(
            [-payment * share / max(1, end - start) for share, (start, end) in zip(shares, spans, strict=True)]
        )
    return group.with_lines(lines)


def pays_for_length(group: RolloutGroup) -> list[bool]:
    """Which samples pay: the right ones that are longer than the shortest right one."""
    shortest = _shortest(group)
    lengths = [len(sample.completion.ids) for sample in group.samples]
    return [right and length > shortest for right, length in zip(group.right, lengths, strict=True)]


def _shortest(group: RolloutGroup) -> int:
    """Tokens of the shortest right sample; 0 if none is right."""
    pairs = zip(group.samples, group.right, strict=True)
    return min([len(sample.completion.ids) for sample, right in pairs if right], default=0)


def softmin(values: Sequence[float]) -> list[float]:
    """Shares in proportion to exp(-value); they add up to 1. Empty for no values."""
    if not values:
        return []
    least = min(values)
    weights = [math.exp(least - value) for value in values]
    return [weight / sum(weights) for weight in weights]
