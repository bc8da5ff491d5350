"""How the completions behind some results were decoded, as pages and tables say it."""

from __future__ import annotations

from collections.abc import Iterable

from rl.runs.record import SplitResult


def decoding(results: Iterable[SplitResult]) -> str:
    """The decoding behind some results, as the start of a sentence.

    Example: "Greedy decoding"; "Means over all samples of each problem" where nothing was decoded greedily.
    """
    greedy = {result.greedy for result in results}
    if greedy == {False}:
        return "Means over all samples of each problem"
    if greedy == {True, False}:
        return "Greedy decoding, or means over all samples of each problem where a row says sampled"
    return "Greedy decoding"
