"""`parts`: prices fall on the tokens of the lines that caused them, all else on every token.

The advantage of a sample is the sum of its terms', each the term less its mean over the group. That of a term
which prices lines moves to the tokens of those lines (`rewards/priced_lines.py`). Its sum over the tokens
stays, so nothing moves between samples: only where in a completion the price is felt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rewards.priced_lines import PricedLines, priced_lines
from rl.grpo.credit.rule import CreditGroup, Span


def parts_credit(group: CreditGroup, *, prices: Mapping[str, PricedLines]) -> list[list[float]]:
    """Advantages of tokens.

    A sample that pays more than the mean of its group pays on the tokens of the lines it pays for; one that
    pays less is praised on its other tokens. Without such lines, or other tokens, the price stays spread over
    all.

    Example: two right samples of 10 tokens, one of which pays 0.4 for a needless backtrack of 2 tokens. It gets
    0 on 8 tokens and (-0.4 + 0.2) * 10 / 2 = -1 on those 2; the other one gets 0.2 on all. Spread: -0.2 and 0.2
    on all.

    Args:
        group: A group.
        prices: The terms that price lines (`RewardSum.priced_lines`).
    """
    means = {name: fmean(sample.score.parts[name] for sample in group.samples) for name in prices}
    tokens = []
    for sample, spans, advantage in zip(group.samples, group.spans, group.advantages, strict=True):
        num = len(sample.completion.ids)
        shares = {name: (sample.score.parts[name] - mean) / group.divisor for name, mean in means.items()}
        row = [advantage - sum(shares.values())] * num
        for name, share in shares.items():
            inside = _tokens_of(spans, priced_lines(prices[name], sample.trace, sample.facts))
            placed: Sequence[int] = (
                [*inside] if share < 0 else [token for token in range(num) if token not in inside]
            )
            placed = placed or range(num)
            for token in placed:
                row[token] += share * num / len(placed)
        tokens.append(row)
    return tokens


def _tokens_of(spans: Sequence[Span], places: Sequence[int]) -> dict[int, None]:
    return dict.fromkeys(token for place in places for token in range(*spans[place]))
