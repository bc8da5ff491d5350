"""Published rules that guess which steps of a right trace were needless.

In: what can be told of a trace without its environment (`TraceSigns`). Out: for each line how needless it
looks, and whether the rule calls it needless, with the share or threshold of its paper.

    sas          the least confident ceil(0.3 n) steps (SAS, arXiv 2604.24003)
    entropy      the floor(0.8 n) steps of the lowest entropy, summed over tokens (arXiv 2508.03346)
    swap         steps after which the right answer is no likelier than before (SwAP, arXiv 2603.00296, which
                 spreads its penalty by that likelihood and names no threshold)
    decs         steps after the first one that states the right answer (DECS, arXiv 2509.25827, which asks a
                 model whether a segment states it)
    monte_carlo  steps after which no more continuations are right than before (VinePPO, arXiv 2410.01679)
    all          every step: its precision is the share of needless steps
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSigns:
    """What a rule may read of a right trace of n lines.

    Attributes:
        lines: Their texts, n.
        answer: The right answer.
        confidences: Mean log-probability of the tokens of each line under the sampler, n.
        entropies: Entropy of the policy, summed over the tokens of each line, in nats, n.
        answer_logprobs: Log-probability of the closing line with the right answer at each boundary, n + 1.
        values: Share of right continuations at each boundary, n + 1; None where none were sampled.
    """

    lines: tuple[str, ...]
    answer: str
    confidences: tuple[float, ...]
    entropies: tuple[float, ...]
    answer_logprobs: tuple[float, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """What a rule says of a line.

    Attributes:
        score: How needless it looks; the larger, the more.
        called: Whether the rule calls it needless.
    """

    score: float
    called: bool


def guess(name: str, signs: TraceSigns) -> list[Guess | None]:
    """What a rule says of each line of a trace; None of a line that it cannot judge.

    Args:
        name: One of `RULES`.
        signs: Of the trace.
    """
    return RULES[name](signs)


def _sas(signs: TraceSigns) -> list[Guess | None]:
    scores = [-confidence for confidence in signs.confidences]
    return _highest(scores, ceil(0.3 * len(scores)))


def _entropy(signs: TraceSigns) -> list[Guess | None]:
    scores = [-entropy for entropy in signs.entropies]
    return _highest(scores, floor(0.8 * len(scores)))


def _swap(signs: TraceSigns) -> list[Guess | None]:
    return _no_gain(signs.answer_logprobs, len(signs.lines))


def _decs(signs: TraceSigns) -> list[Guess | None]:
    pattern = re.compile(rf"(?<!\w){re.escape(signs.answer)}(?!\w)")
    first = next((place for place, line in enumerate(signs.lines) if pattern.search(line)), len(signs.lines))
    return [Guess(score=float(place > first), called=place > first) for place in range(len(signs.lines))]


def _monte_carlo(signs: TraceSigns) -> list[Guess | None]:
    return _no_gain(signs.values, len(signs.lines))


def _all(signs: TraceSigns) -> list[Guess | None]:
    return [Guess(score=0.0, called=True)] * len(signs.lines)


RULES: dict[str, Callable[[TraceSigns], list[Guess | None]]] = {
    "sas": _sas,
    "entropy": _entropy,
    "swap": _swap,
    "decs": _decs,
    "monte_carlo": _monte_carlo,
    "all": _all,
}
LABELS = {
    "sas": "SAS: low confidence",
    "entropy": "step entropy: low",
    "swap": "SwAP: answer no likelier",
    "decs": "DECS: after the answer",
    "monte_carlo": "Monte-Carlo: no gain",
    "all": "every step",
}


def _highest(scores: Sequence[float], num: int) -> list[Guess | None]:
    called = set(sorted(range(len(scores)), key=lambda place: -scores[place])[:num])
    return [Guess(score=score, called=place in called) for place, score in enumerate(scores)]


def _no_gain(values: Sequence[float | None], num: int) -> list[Guess | None]:
    found: list[Guess | None] = []
    for place in range(num):
        before = values[place] if place < len(values) else None
        after = values[place + 1] if place + 1 < len(values) else None
        if before is None or after is None:
            found.append(None)
        else:
            found.append(Guess(score=before - after, called=after <= before))
    return found
