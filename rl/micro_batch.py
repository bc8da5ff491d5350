"""From scored groups to the tensors of one update, split into micro-batches.

In: groups and their advantages. Out: one dict of tensors a micro-batch, with the keys TRL's loss reads. Rows
are sorted by length and each micro-batch is trimmed to its own longest prompt and completion, so little of a
forward pass is padding. How rows are split changes neither loss nor gradient: every micro-batch carries the
factor that makes the sum over micro-batches the loss of the whole batch.

Shapes: B rows of a micro-batch, L prompt tokens (left-padded), T completion tokens (right-padded).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rollout.types import RolloutGroup


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


def make_rows(groups: Sequence[RolloutGroup], advantages: Sequence[Sequence[float]]) -> list[Row]:
    """One row a completion, its sequence advantage given to every token.

    Args:
        groups: P groups.
        advantages: For each group the advantage of each of its samples.
    """
    return [
        Row(
            prompt_ids=group.prompt_ids,
            ids=sample.completion.ids,
            logprobs=sample.completion.logprobs,
            advantages=(advantage,) * len(sample.completion.ids),
        )
        for group, row in zip(groups, advantages, strict=True)
        for sample, advantage in zip(group.samples, row, strict=True)
    ]


def split_rows(rows: Sequence[Row], num_parts: int) -> list[list[Row]]:
    """Sort by length and cut into `num_parts` parts of sizes that differ by at most one row."""
    ordered = sorted(rows, key=lambda row: len(row.prompt_ids) + len(row.ids), reverse=True)
    base, extra = divmod(len(ordered), num_parts)
    parts, start = [], 0
    for part in range(num_parts):
        end = start + base + (part < extra)
        parts.append(ordered[start:end])
        start = end
    return parts


def make_micro_batches(
    rows: Sequence[Row], num_parts: int, *, pad_id: int, loss_type: str, device: torch.device
) -> list[dict[str, Any]]:
    """Tensors for TRL's loss.

    Args:
        rows: At least one completion; with fewer rows than parts, the last parts hold a masked row.
        num_parts: Micro-batches of the update.
        pad_id: Fills prompts on the left and completions on the right.
        loss_type: TRL's; decides what a micro-batch's loss is a mean over, and so its factor.
        device: Where the tensors go.

    Returns:
        Per part: prompt_ids, prompt_mask [B, L]; completion_ids, completion_mask, old_per_token_logps,
        advantages [B, T]; num_items_in_batch (tokens of all parts); loss_factor.
    """
    total_rows, total_tokens = len(rows), sum(len(row.ids) for row in rows)
    batches = []
    for part in split_rows(rows, num_parts):
        tokens = sum(len(row.ids) for row in part)
        batch = _collate(part or rows[:1], pad_id)
        if not part:
            batch["completion_mask"].zero_()
        batch = {key: tensor.to(device) for key, tensor in batch.items()}
        batch["num_items_in_batch"] = torch.tensor(total_tokens, device=device)
        share = {
            "dapo": 1.0 / num_parts,  # already divided by the tokens of all parts
            "bnpo": tokens / total_tokens,
        }.get(loss_type, len(part) / total_rows)
        batches.append({**batch, "loss_factor": share * num_parts})
    return batches


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
