"""One token for each row, drawn from its logits.

A token is sampled by inverting the cumulative distribution at a given uniform number. Rows are drawn a few at a
time, so that the temporary memory does not grow with rows times vocabulary.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import torch

from rollout.types import Sampling

_DRAWN_AT_ONCE = {"cpu": 1 << 17}  # logits; few enough for the processor's cache
_DRAWN_AT_ONCE_ELSEWHERE = 1 << 23
_BYTES_PER_LOGIT = 48  # of those drawn at once: sorting for `top_p` takes most


def draw(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token per row and its log-probability.

    Args:
        logits_BV: Float32.
        uniform_B: Uniform numbers in [0, 1), float64.
        sampling: Temperature, `top_p` and `top_k`.
    """
    rows = rows_at_once(logits_BV.shape[1], logits_BV.device.type)
    parts = [
        _draw_rows(logits, uniform, sampling)
        for logits, uniform in zip(torch.split(logits_BV, rows), torch.split(uniform_B, rows), strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    tokens, logprobs = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def rows_at_once(vocabulary: int, device: str) -> int:
    """Rows that are drawn at the same time on a type of device."""
    return max(1, _DRAWN_AT_ONCE.get(device, _DRAWN_AT_ONCE_ELSEWHERE) // vocabulary)


def draw_bytes(rows: int, vocabulary: int, device: str) -> int:
    """Upper bound of the memory that sampling one token for each row takes, in bytes.

    Args:
        rows: Most rows.
        vocabulary: Size of the vocabulary.
        device: Type of the device.
    """
    logits = rows * vocabulary * 2 * torch.float32.itemsize  # as the model returns them, and in float32
    return logits + min(rows, rows_at_once(vocabulary, device)) * vocabulary * _BYTES_PER_LOGIT


def _draw_rows(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    if sampling.temperature not in (0, 1):
        logits_BV = logits_BV / sampling.temperature
    logprobs_BV = torch.log_softmax(logits_BV, dim=-1)
    if sampling.top_k is not None:
        logprobs_BV = likeliest(logprobs_BV, sampling.top_k)
    if sampling.top_p < 1:
        logprobs_BV = nucleus(logprobs_BV, sampling.top_p)
    if sampling.temperature == 0:
        token_B = logits_BV.argmax(dim=-1)
    else:
        cumulative_BV = logprobs_BV.double().exp_().cumsum_(dim=-1)
        target_B1 = (uniform_B * cumulative_BV[:, -1])[:, None]
        token_B = torch.searchsorted(cumulative_BV, target_B1, right=True).squeeze(1)
        token_B = token_B.clamp(max=logits_BV.shape[1] - 1)
    return token_B, logprobs_BV.gather(1, token_B[:, None]).squeeze(1)


def likeliest(logprobs_BV: torch.Tensor, top_k: int) -> torch.Tensor:
    """Log-probabilities within the `top_k` likeliest tokens, else minus infinity.

    Of tokens with equal probability at the border, those with the lower ids stay.
    """
    index_BV = logprobs_BV.argsort(dim=-1, descending=True, stable=True)[:, top_k:]
    return torch.log_softmax(logprobs_BV.scatter(1, index_BV, -torch.inf), dim=-1)


def nucleus(logprobs_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Log-probabilities within the fewest likeliest tokens that have `top_p` together, else minus infinity."""
    sorted_BV, index_BV = logprobs_BV.double().exp_().sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(dim=-1).sub_(sorted_BV)
    out_BV = torch.zeros_like(before_BV, dtype=torch.bool).scatter_(1, index_BV, before_BV >= top_p)
    return torch.log_softmax(logprobs_BV.masked_fill(out_BV, -torch.inf), dim=-1)
