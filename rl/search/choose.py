"""Which of the sampled completions is the answer, within a budget of tokens.

In: the draws of a problem in their order, and its responses. Out: the response chosen. Every method is an
anytime algorithm: what it answers within a budget follows from the draws that fit into it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from configs.schema.search import Merge
from rl.search.record import Draw, Response


def within(draws: Sequence[Draw], max_tokens: int | None) -> Sequence[Draw]:
    """The first draws that have no more than this many tokens together.

    Example: tokens 5, 5 and 4 within 10: the first two, and within 9 the first alone.
    """
    if max_tokens is None:
        return draws
    spent = 0
    for place, draw in enumerate(draws):
        spent += draw.tokens
        if spent > max_tokens:
            return draws[:place]
    return draws


def spent(draws: Iterable[Draw]) -> int:
    """Tokens sampled."""
    return sum(draw.tokens for draw in draws)


def merged(scores: Sequence[float], rule: Merge) -> float:
    """One score of several completions with the same text.

    Example: -1 and -3 give -4 by `sum`, -2 by `mean`, -1 by `max` and -1 + log(1 + exp(-2)) = -0.873 by
    `logsumexp`.
    """
    if rule == "sum":
        return math.fsum(scores)
    if rule == "mean":
        return math.fsum(scores) / len(scores)
    best = max(scores)
    return best if rule == "max" else best + math.log(math.fsum(math.exp(score - best) for score in scores))


def best_merged(draws: Sequence[Draw], responses: Sequence[Response], rule: Merge) -> int | None:
    """The candidate of a search: completions with the same text are merged, the highest score wins.

    Self-Backtracking (arXiv 2502.04404) takes the lowest perplexity, which is the highest mean
    log-probability; the released code merges by `sum`. A tie goes to the text that came first.

    Returns:
        Its place among the responses; None if no completion states an answer.
    """
    scores: dict[int, list[float]] = {}
    for draw in draws:
        if responses[draw.response].complete:
            scores.setdefault(draw.response, []).append(draw.score)
    return max(scores, key=lambda place: merged(scores[place], rule), default=None)


def best_verified(draws: Sequence[Draw], responses: Sequence[Response], rule: Merge) -> int | None:
    """The candidate of a search that verifies: by score among those that do, else among all."""
    passed = [draw for draw in draws if responses[draw.response].passed]
    return best_merged(passed or draws, responses, rule)


def best_of_n(draws: Sequence[Draw], responses: Sequence[Response]) -> int | None:
    """The single completion with the highest mean log-probability that states an answer."""
    return best_merged(draws, responses, "max")


def majority(draws: Sequence[Draw], responses: Sequence[Response]) -> int | None:
    """The answer stated most often (self-consistency, arXiv 2203.11171), by its text; a tie goes to the first.

    Returns:
        The first response with that answer; None if no completion states one.
    """
    complete = [draw.response for draw in draws if responses[draw.response].complete]
    if not complete:
        return None
    answer, _ = Counter(responses[place].answer for place in complete).most_common(1)[0]
    return next(place for place in complete if responses[place].answer == answer)
