"""How large step credit is, as figures of an update."""

from __future__ import annotations

from collections.abc import Sequence

from rl.grpo.micro_batches import Advantage


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
