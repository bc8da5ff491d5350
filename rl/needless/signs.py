"""What a policy's own probabilities say of a trace: entropies of tokens, and how likely the right answer is.

In: a model and tokens. Out: numbers, from forward passes without gradients. A vocabulary can have 150,000
entries, so logits are kept where they are read alone, and few of them are in double precision at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_READ_AT_ONCE = 64  # positions


@torch.no_grad()
def token_entropies(
    model: Any, prompt_ids: Sequence[int], ids: Sequence[int], temperature: float
) -> list[float]:
    """The entropy of the policy, in nats, where it drew each token of a completion.

    Args:
        model: A causal LM of the library.
        prompt_ids: Tokens of the prompt.
        ids: Tokens of the completion.
        temperature: Divides the logits.
    """
    found: list[float] = []
    for logits in _logits(model, prompt_ids, ids).split(_READ_AT_ONCE):
        logprobs = torch.log_softmax(logits.double() / temperature, dim=-1)
        found += (-(logprobs.exp() * logprobs).sum(-1)).tolist()
    return found


@torch.no_grad()
def ending_logprobs(
    model: Any, prompt_ids: Sequence[int], prefixes: Sequence[Sequence[int]], ending: Sequence[int]
) -> list[float]:
    """The log-probability of the same ending after each of several prefixes of a completion, a pass for each.

    Args:
        model: A causal LM of the library.
        prompt_ids: Tokens of the prompt.
        prefixes: At least one.
        ending: At least one token.
    """
    found = []
    for prefix in prefixes:
        logprobs = torch.log_softmax(_logits(model, [*prompt_ids, *prefix], ending).double(), dim=-1)
        found.append(sum(row[token].item() for row, token in zip(logprobs, ending, strict=True)))
    return found


def _logits(model: Any, before: Sequence[int], ids: Sequence[int]) -> torch.Tensor:
    """The logits [tokens, V] that each of `ids` is drawn from, after `before`."""
    row = torch.tensor([[*before, *ids]], device=model.device)
    logits: torch.Tensor = model(row, use_cache=False, logits_to_keep=len(ids) + 1).logits[0, :-1]
    return logits
