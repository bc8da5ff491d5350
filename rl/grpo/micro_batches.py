"""From scored groups to the tensors of one update, cut into micro-batches.

In: groups and their advantages. Out: one dict of tensors a micro-batch, with the keys TRL's loss reads. Rows
are sorted by length and cut where that leaves least padding, so little of a forward pass is wasted. The cuts
change neither loss nor gradient: every micro-batch carries a factor with which the losses of all micro-batches
add up to the loss of the whole batch.

Shapes: B rows of a micro-batch, L prompt tokens (left-padded), T completion tokens (right-padded).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rollout.types import FinishReason, RolloutGroup

Advantage = float | tuple[float, ...]
"""The advantage of a completion: one for all of its tokens, or one for each."""

MicroBatch = dict[str, Any]
"""Tensors of one forward and backward pass, by the keys TRL's loss reads; see `make_micro_batches`."""

_PER_TOKEN = ("dapo", "bnpo", "cispo", "vespo")  # every token weighs the same
_PASS = 128  # positions whose cost equals that of one more forward and backward pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One completion to train on.

    Attributes:
        prompt_ids: Prompt tokens.
        ids: Completion tokens.
        logprobs: Sampler's log-probability of each completion token.
        advantages: Advantage of each completion token.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    advantages: tuple[float, ...]

    @property
    def length(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.prompt_ids) + len(self.ids)


def make_rows(
    groups: Sequence[RolloutGroup],
    advantages: Sequence[Sequence[Advantage]],
    *,
    mask_truncated: bool = False,
) -> list[Row]:
    """One row for each completion.

    Args:
        groups: P groups.
        advantages: One for each sample, or one for each of its tokens, by group.
        mask_truncated: Leave out completions that were cut off at the length limit.
    """
    return [
        Row(
            prompt_ids=group.prompt_ids,
            ids=sample.completion.ids,
            logprobs=sample.completion.logprobs,
            advantages=advantage if isinstance(advantage, tuple) else (advantage,) * len(sample.completion.ids),
        )
        for group, row in zip(groups, advantages, strict=True)
        for sample, advantage in zip(group.samples, row, strict=True)
        if not (mask_truncated and sample.completion.finish_reason is FinishReason.LENGTH)
    ]


def longest_first(rows: Sequence[Row]) -> list[int]:
    """The places of the rows in the order in which micro-batches hold them: by length, the longest first."""
    return sorted(range(len(rows)), key=lambda place: rows[place].length, reverse=True)


def split_rows(rows: Sequence[Row], max_tokens: int) -> list[list[Row]]:
    """Sort by length, longest first, and cut where rows times longest row, summed over parts, is least.

    Every part is charged the fixed cost of a pass too, so parts do not get tiny.

    Args:
        rows: At least one.
        max_tokens: Rows times longest row of a part, at most; a row longer than that is a part of its own.
    """
    ordered = [rows[place] for place in longest_first(rows)]
    length = np.array([row.length for row in ordered])
    # least[i] is the lowest cost of the first i rows, cut[i] the start of the last part of them.
    least, cut = np.zeros(len(ordered) + 1), np.zeros(len(ordered) + 1, dtype=int)
    for end in range(1, len(ordered) + 1):
        first = max(0, min(end - 1, end - max_tokens // length[end - 1]))  # earlier ones are too large
        positions = np.arange(end - first, 0, -1) * length[first:end]
        cost = np.where(positions <= max_tokens, least[first:end] + positions + _PASS, np.inf)
        cost[-1] = least[end - 1] + length[end - 1] + _PASS
        cut[end] = first + cost.argmin()
        least[end] = cost.min()
    parts, end = [], len(ordered)
    while end > 0:
        parts.append(ordered[cut[end] : end])
        end = cut[end]
    return parts[::-1]


def make_micro_batches(
    rows: Sequence[Row],
    max_tokens: int,
    *,
    pad_id: int,
    loss_type: str,
    max_length: int,
    device: torch.device,
    num_rows: int | None = None,
) -> list[MicroBatch]:
    """Tensors for the loss.

    Args:
        rows: At least one completion.
        max_tokens: Limit of a micro-batch, padding included; see `split_rows`.
        pad_id: Fills prompts on the left and completions on the right.
        loss_type: TRL's; decides what the loss of a token is divided by.
        max_length: Length limit of a completion in tokens, by which `dr_grpo` divides.
        device: Where the tensors go.
        num_rows: Completions of the batch, where some are left out (`grpo.mask_truncated`); None: none is.

    Returns:
        Per part: prompt_ids, prompt_mask [B, L]; completion_ids, completion_mask, old_per_token_logps,
        sampling_per_token_logps, advantages [B, T]; num_items_in_batch (tokens of all parts); loss_factor,
        which turns TRL's loss of this part into its share of the batch's; loss_weights [B, T], what the loss of
        a token is multiplied by in the batch's; entropy_weights [B, T], 1 over all tokens; tokens (of this
        part).
    """
    total_rows, total_tokens = num_rows or len(rows), sum(len(row.ids) for row in rows)
    batches = []
    for part in split_rows(rows, max_tokens):
        tokens = sum(len(row.ids) for row in part)
        batch = {key: tensor.to(device) for key, tensor in _collate(part, pad_id).items()}
        mask = batch["completion_mask"].float()
        weight: torch.Tensor | float
        if loss_type in _PER_TOKEN:
            # TRL divides by the tokens of all parts already, or for bnpo by those of a part.
            factor, weight = (tokens / total_tokens if loss_type == "bnpo" else 1.0), 1.0 / total_tokens
        else:
            length = {"dr_grpo": max_length, "luspo": 1}.get(loss_type, mask.sum(1, keepdim=True))
            factor, weight = len(part) / total_rows, 1.0 / (total_rows * length)
        batch |= {
            "num_items_in_batch": torch.tensor(total_tokens, device=device),
            "sampling_per_token_logps": batch["old_per_token_logps"],
            "loss_weights": mask * weight,
            "entropy_weights": mask / total_tokens,
        }
        batches.append({**batch, "loss_factor": factor, "tokens": tokens})
    return batches


def useful_frac(batches: Sequence[MicroBatch]) -> float:
    """Share of the positions of all forward passes that are tokens, not padding."""
    lengths = [(batch["prompt_mask"].sum(1) + batch["completion_mask"].sum(1)).tolist() for batch in batches]
    return sum(map(sum, lengths)) / sum(len(part) * max(part) for part in lengths)


def _collate(rows: Sequence[Row], pad_id: int) -> dict[str, torch.Tensor]:
    width_L = max(len(row.prompt_ids) for row in rows)
    width_T = max(len(row.ids) for row in rows)
    num = len(rows)
    batch = {
        "prompt_ids": torch.full((num, width_L), pad_id),
        "prompt_mask": torch.zeros((num, width_L), dtype=torch.long),
        "completion_ids": torch.full((num, width_T), pad_id),
        "completion_mask": torch.zeros((num, width_T), dtype=torch.long),
        "old_per_token_logps": torch.zeros((num, width_T)),
        "advantages": torch.zeros((num, width_T)),
    }
    for b, row in enumerate(rows):
        start, end = width_L - len(row.prompt_ids), len(row.ids)
        batch["prompt_ids"][b, start:] = torch.tensor(row.prompt_ids)
        batch["prompt_mask"][b, start:] = 1
        batch["completion_ids"][b, :end] = torch.tensor(row.ids)
        batch["completion_mask"][b, :end] = 1
        batch["old_per_token_logps"][b, :end] = torch.tensor(row.logprobs)
        batch["advantages"][b, :end] = torch.tensor(row.advantages)
    return batch
