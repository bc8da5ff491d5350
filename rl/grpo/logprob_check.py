"""Compares sampler and learner in the log-probability of the sampled tokens.

In the first pass over an on-policy rollout batch both hold the same weights, so a difference beyond rounding is
a fault, of a dtype or a mask, that would enter the importance ratio unnoticed.
"""

from __future__ import annotations

from typing import ClassVar

import torch


class LogprobMismatchError(RuntimeError):
    """Sampler and learner disagree on log-probabilities by more than the config allows."""

    exit_code: ClassVar[int] = 1


class LogprobCheck:
    """Collects the differences of one update."""

    def __init__(self, limit: float | None) -> None:
        """Set the limit, `grpo.max_logprob_diff`; None: none."""
        self._limit = limit
        self._differences: list[torch.Tensor] = []

    def add(self, new_BT: torch.Tensor, old_BT: torch.Tensor, mask_BT: torch.Tensor) -> None:
        """Take a micro-batch.

        Args:
            new_BT: The learner's log-probabilities [B, T].
            old_BT: The sampler's.
            mask_BT: True for completion tokens.
        """
        assert new_BT.shape == old_BT.shape == mask_BT.shape and mask_BT.dtype == torch.bool
        self._differences.append((new_BT - old_BT)[mask_BT].abs())

    def take(self, update: int) -> dict[str, float]:
        """Mean and largest difference since the last call; nothing where none was taken.

        Args:
            update: Number of the update, for the message.

        Raises:
            LogprobMismatchError: The largest is over the limit.
        """
        if not self._differences:
            return {}
        differences = torch.cat(self._differences)
        self._differences = []
        largest = differences.max().item()
        if self._limit is not None and largest > self._limit:
            raise LogprobMismatchError(
                f"at update {update} sampler and learner differ by {largest:.4g} in the log-probability of a "
                f"token, over grpo.max_logprob_diff ({self._limit:g}); compare their dtypes (rollout.dtype, "
                "policy.dtype) or raise the limit"
            )
        return {"logprob_diff/mean": differences.mean().item(), "logprob_diff/max": largest}
