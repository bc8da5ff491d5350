"""What a policy's own probabilities say of a trace: entropies of tokens, and how likely the right answer is.

In: a model and tokens. Out: numbers, from forward passes without gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


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
    logits = model(torch.tensor([[*prompt_ids, *ids]], device=model.device)).logits[0, len(prompt_ids) - 1 : -1]
    logprobs = torch.log_softmax(logits.double() / temperature, dim=-1)
    found: list[float] = (-(logprobs.exp() * logprobs).sum(-1)).tolist()
    return found


@torch.no_grad()
def ending_logprobs(
    model: Any, prompt_ids: Sequence[int], prefixes: Sequence[Sequence[int]], ending: Sequence[int]
) -> list[float]:
    """The log-probability of the same ending after each of several prefixes of a completion.

    Args:
        model: A causal LM of the library.
        prompt_ids: Tokens of the prompt.
        prefixes: At least one.
        ending: At least one token.
    """
    rows = [[*prompt_ids, *prefix, *ending] for prefix in prefixes]
    width = max(map(len, rows))
    # Padding at the right: no token sees it, and positions count from the first token.
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
    logprobs = torch.log_softmax(model(ids).logits.double(), dim=-1)
    found = []
    for number, row in enumerate(rows):
        places = range(len(row) - len(ending) - 1, len(row) - 1)
        found.append(sum(logprobs[number, place, row[place + 1]].item() for place in places))
    return found
