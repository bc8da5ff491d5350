"""How large step credit is, and what backtracks get of it, as figures of an update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from rl.grpo.credit.rule import Span
from rl.grpo.micro_batches import Advantage
from rollout.types import RolloutGroup


def credit_figures(
    advantages: Sequence[Sequence[float]], credit: Sequence[Sequence[Advantage]]
) -> dict[str, float]:
    """How large step credit is beside the advantages of the samples: means over tokens of their sizes.

    Args:
        advantages: Of samples, by group.
        credit: The same after step credit.

    Returns:
        `credit/sequence`, the mean size of a sample's advantage, and `credit/steps`, that of what a token's
        differs from it by; both over the tokens whose sample has one for each token.
    """
    sizes, differences, num = 0.0, 0.0, 0
    for row, tokens in zip(advantages, credit, strict=True):
        for advantage, values in zip(row, tokens, strict=True):
            if isinstance(values, tuple):
                sizes += abs(advantage) * len(values)
                differences += sum(abs(value - advantage) for value in values)
                num += len(values)
    return {"credit/sequence": sizes / max(1, num), "credit/steps": differences / max(1, num)}


def backtrack_figures(
    groups: Sequence[RolloutGroup],
    advantages: Sequence[Sequence[Advantage]],
    spans: Callable[[RolloutGroup], Sequence[Sequence[Span]]] | None,
) -> dict[str, float]:
    """The mean advantage of needed and of needless backtracks: what an update teaches about going back.

    Args:
        groups: Of judged samples.
        advantages: Of samples or their tokens, by group.
        spans: The tokens of each line of a group's samples; None: those of a sample have the same advantage.

    Returns:
        `credit/needed_backtracks` and `credit/needless_backtracks`, means over such lines, each with the mean
        of its tokens; what there is none of is left out.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    for group, row in zip(groups, advantages, strict=True):
        lines = spans(group) if spans is not None and any(isinstance(one, tuple) for one in row) else ()
        for number, (sample, advantage) in enumerate(zip(group.samples, row, strict=True)):
            for backtrack in sample.trace.backtracks:
                if backtrack.needed is None:
                    continue
                value = advantage
                if isinstance(value, tuple):
                    value = fmean(value[slice(*lines[number][backtrack.step])])
                found[backtrack.needed].append(value)
    names = {True: "credit/needed_backtracks", False: "credit/needless_backtracks"}
    return {names[needed]: fmean(values) for needed, values in found.items() if values}
