"""From scored groups to the tensors of one update, cut into micro-batches.

In: groups and their advantages. Out: one dict of tensors a micro-batch, with the keys TRL's loss reads. The
cuts are those of `rl/pass_cuts.py`. They change neither loss nor gradient: every micro-batch carries a factor
with which the losses of all micro-batches add up to the loss of the whole batch.

Shapes: B rows of a micro-batch, L prompt tokens (left-padded), T completion tokens (right-padded).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rl.pass_cuts import cut_passes
from rollout.types import FinishReason, RolloutGroup

Advantage = float | tuple[float, ...]
"""The advantage of a completion: one for all of its tokens, or one for each."""

MicroBatch = dict[str, Any]
"""Tensors of one forward and backward pass, by the keys TRL's loss reads; see `make_micro_batches`."""

_PER_TOKEN = ("dapo", "bnpo", "cispo", "vespo")  # every token weighs the same


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
        max_tokens: Limit of a micro-batch, padding included; see `cut_passes`.
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
    for places in cut_passes([row.length for row in rows], max_tokens, device=device):
        part = [rows[place] for place in places]
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
