"""`sas`: no advantage on the least confident steps of right samples (SAS, arXiv 2604.24003).

The confidence of a step is the mean log-probability of its tokens under the sampler. In a right sample the
least confident share of its steps gets no advantage; in another one, which may have failed by the length limit
or its grader, the most confident share gets none. The share is 0.3 in the authors' script. Their code computes
the number in a right sample as ceil(n - 1 + 1 * share) for n steps, which is all of them; here it is ceil(share
* n).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import fmean

from rl.grpo.credit.rule import CreditGroup, Span


def sas_credit(group: CreditGroup, *, share: float) -> list[list[float]]:
    """Advantages of tokens: that of the sample, or 0 on the steps that are left out.

    Example: a right sample whose three steps have the confidences -0.1, -0.9 and -0.2, share 0.3: the second
    one gets 0. A wrong one: n - ceil(0.7 n) = 0 steps get 0.

    Args:
        group: A group.
        share: Of the steps.
    """
    tokens = []
    for sample, spans, advantage, right in zip(
        group.samples, group.spans, group.advantages, group.group.right, strict=True
    ):
        row = [advantage] * len(sample.completion.ids)
        order = least_confident(sample.completion.logprobs, spans)
        left_out = order[: ceil(share * len(order))] if right else order[ceil((1 - share) * len(order)) :]
        for place in left_out:
            start, end = spans[place]
            row[start:end] = [0.0] * (end - start)
        tokens.append(row)
    return tokens


def least_confident(logprobs: Sequence[float], spans: Sequence[Span]) -> list[int]:
    """Places of the steps by the mean log-probability of their tokens, the lowest first.

    Args:
        logprobs: Of the tokens of a completion, under the sampler.
        spans: The tokens of each step.
    """
    means = [fmean(logprobs[start:end]) if end > start else 0.0 for start, end in spans]
    return sorted(range(len(spans)), key=means.__getitem__)
