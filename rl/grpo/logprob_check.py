"""Compares sampler and learner in the log-probability of the sampled tokens.

In the first pass over an on-policy rollout batch both hold the same weights, so a difference beyond rounding is
a fault, of a dtype, a mask or a dropout, that would enter the importance ratio unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch

from rl.finite import NotFiniteError

FLOAT32_LIMIT = 1e-2  # rounding stays below 1e-4; a forgotten dropout gives 0.2 and more
BFLOAT16_LIMIT = 1.0  # rounding alone moves an unlikely token by some tenths


class LogprobMismatchError(RuntimeError):
    """Sampler and learner disagree on log-probabilities by more than the config allows."""

    exit_code: ClassVar[int] = 1


class LogprobCheck:
    """Collects the differences of one update."""

    def __init__(
        self,
        limit: float | Literal["auto"] | None,
        *,
        float32: bool = True,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Set the limit.

        Args:
            limit: `grpo.max_logprob_diff`. auto: `FLOAT32_LIMIT` in float32; in bfloat16 a warning, once, over
                `BFLOAT16_LIMIT`. None: none.
            float32: Whether sampler and learner both compute in float32.
            warn: Called with one line.
        """
        self._limit = (FLOAT32_LIMIT if float32 else None) if limit == "auto" else limit
        self._warn_over = BFLOAT16_LIMIT if limit == "auto" and not float32 else None
        self._warn = warn
        self._differences: list[torch.Tensor] = []
        self._finite: list[torch.Tensor] = []

    def add(self, new_BT: torch.Tensor, old_BT: torch.Tensor, mask_BT: torch.Tensor, *, same: bool) -> None:
        """Take a micro-batch.

        Args:
            new_BT: The learner's log-probabilities [B, T].
            old_BT: The sampler's.
            mask_BT: True for completion tokens.
            same: Whether the weights are still those of the sampler's rollout batch, so that the two are
                compared.
        """
        assert new_BT.shape == old_BT.shape == mask_BT.shape and mask_BT.dtype == torch.bool
        new, old = new_BT[mask_BT], old_BT[mask_BT]
        self._finite.append(torch.stack([new.isfinite().all(), old.isfinite().all()]))
        if same:
            self._differences.append((new - old).abs())

    def take(self, update: int, *, on_policy: bool = True) -> dict[str, float]:
        """Mean and largest difference since the last call; nothing where none was taken.

        Args:
            update: Number of the update, for the message.
            on_policy: Whether the completions were sampled with the learner's weights; else there is no limit.

        Raises:
            NotFiniteError: A log-probability is NaN or infinite.
            LogprobMismatchError: The largest difference is over the limit.
        """
        finite, differences = self._finite, self._differences
        self._finite, self._differences = [], []
        if finite:
            learner, sampler = torch.stack(finite).all(0).tolist()
            if not (learner and sampler):
                who = "learner" if sampler else "sampler"
                raise NotFiniteError.at(update, f"a log-probability of the {who} is not finite")
        if not differences:
            return {}
        mean, largest = (f(torch.cat(differences)).item() for f in (torch.mean, torch.max))
        if on_policy and self._limit is not None and largest > self._limit:
            raise LogprobMismatchError(
                f"at update {update} sampler and learner differ by {largest:.4g} in the log-probability of a "
                f"token, over grpo.max_logprob_diff ({self._limit:g}); compare their dtypes (rollout.dtype, "
                "policy.dtype) or raise the limit"
            )
        if on_policy and self._warn_over is not None and largest > self._warn_over:
            self._warn(
                f"warning: at update {update} sampler and learner differ by {largest:.4g} in the "
                f"log-probability of a token (mean {mean:.4g}); set grpo.max_logprob_diff to stop the run there"
            )
            self._warn_over = None
        return {"logprob_diff/mean": mean, "logprob_diff/max": largest}
