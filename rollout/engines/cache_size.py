"""How much memory the KV cache of a call takes, and how a bound on it is divided between rows and prompts.

Sizes are counted in positions: the keys and values of one token in all layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from rollout.engines.adapter import sampled_model
from rollout.engines.decoder import has_decoder
from rollout.engines.states import has_row_layers, measure_cache

_PROMPT_COLUMNS = 16  # columns for prompts are a multiple of this
# Times the share of the memory: most rows are shorter than the limit, so more of them run (docs/LOG.md).
_MORE_PROMPTS = 4


class CacheError(ValueError):
    """The memory for the KV cache does not hold one sample."""

    exit_code: ClassVar[int] = 2


class CallSize(NamedTuple):
    """The size of an engine call: prompts, samples per prompt, length limit in tokens."""

    num_prompts: int
    samples: int
    new_tokens: int

    @property
    def num_samples(self) -> int:
        """Samples of all prompts."""
        return self.num_prompts * self.samples

    def holds(self, other: CallSize) -> bool:
        """Whether a call of the other size is within this one."""
        return all(own >= wanted for own, wanted in zip(self, other, strict=True))


@dataclass(frozen=True, kw_only=True)
class CacheNeeds:
    """What a model needs for its cache, in bytes.

    Attributes:
        position: Keys and values of one token.
        row: States of one row, where layers keep states.
        stores_prompts: Prompts are stored once for all samples of a group; else each row has its own copy.
        can_grow: Rows can move to another layout of the memory; else their whole length is reserved.
    """

    position: int
    row: int
    stores_prompts: bool
    can_grow: bool

    def bytes(self, positions: int, rows: int) -> int:
        """Memory of this many positions and rows."""
        return positions * self.position + rows * self.row

    @classmethod
    def of(cls, model: torch.nn.Module, dtype: torch.dtype) -> CacheNeeds:
        """The needs of a model whose weights have this precision."""
        numbers, states = measure_cache(model)
        return cls(
            position=numbers * dtype.itemsize,
            row=states,
            stores_prompts=has_decoder(sampled_model(model)),
            can_grow=has_row_layers(model),
        )


@dataclass(frozen=True, kw_only=True)
class CachePlan:
    """How the memory of a call is divided.

    Attributes:
        slots: Most rows at the same time.
        columns: Columns with which rows never run out; prompts included unless they are stored apart.
        row_positions: Positions for rows times columns. Below slots times columns, rows share them.
        groups: Most prompts that are stored apart.
        prompt_columns: Columns of each stored prompt, or those always left for one before the next token.
    """

    slots: int
    columns: int
    row_positions: int
    groups: int
    prompt_columns: int

    @property
    def positions(self) -> int:
        """Positions of rows and stored prompts."""
        return self.row_positions + self.groups * self.prompt_columns


def make_plan(
    call: CallSize,
    needs: CacheNeeds,
    *,
    num_samples: int | None = None,
    prompt_tokens: int,
    max_rows: int | None,
    bound: int | None = None,
) -> CachePlan:
    """Divide the memory of a call.

    Args:
        call: Its size; `samples` are those of the largest group.
        needs: What the model needs.
        num_samples: Samples of all groups; None: all groups are equal.
        prompt_tokens: Longest prompt in tokens.
        max_rows: Most rows at the same time, or the size of the largest group if that is larger; None: all.
        bound: Most bytes; None: as many as all rows at their full length take.

    Raises:
        CacheError: One sample of the longest prompt and full length is over the bound.
    """
    num_samples = num_samples or call.num_samples
    slots = min(num_samples, max(max_rows or num_samples, call.samples))
    # Rows admitted later begin at later columns. With more columns, they move to the front less often.
    columns = call.new_tokens if slots == num_samples else call.new_tokens + call.new_tokens // 2
    prompt_columns = -(-prompt_tokens // _PROMPT_COLUMNS) * _PROMPT_COLUMNS
    groups = min(slots, call.num_prompts) if needs.stores_prompts else 0
    columns += 0 if needs.stores_prompts else prompt_columns
    plan = CachePlan(
        slots=slots,
        columns=columns,
        row_positions=slots * columns,
        groups=groups,
        prompt_columns=prompt_columns,
    )
    if bound is None or needs.bytes(plan.positions, slots) <= bound:
        return plan
    one = prompt_columns + call.new_tokens  # columns of one sample
    if (least := needs.bytes(one, 1)) > bound:
        raise CacheError(
            f"the KV cache of one sample of {prompt_columns} prompt and {call.new_tokens} new tokens takes "
            f"{least / 2**30:.3g} GiB, and rollout.kv_cache_gib is {bound / 2**30:.3g}; raise it, or lower "
            "rollout.max_prompt_tokens or max_new_tokens"
        )
    if needs.row:  # at most half of the memory for states, where there are keys and values
        in_states = bound - one * needs.position
        slots = max(1, min(slots, min(in_states, bound // 2 if needs.position else bound) // needs.row))
    positions = (bound - slots * needs.row) // needs.position if needs.position else slots * one * 2
    if needs.stores_prompts:  # at most half of it for prompts
        room = min(positions // 2, positions - call.new_tokens)
        share = math.ceil(_MORE_PROMPTS * groups * positions / plan.positions)
        groups = min(groups, slots, share, max(1, room // prompt_columns))
    row_positions = positions - groups * prompt_columns
    shorter = one - (prompt_columns if needs.stores_prompts else 0)
    columns = min(shorter + call.new_tokens // 2, row_positions)  # for rows that are admitted later
    if not needs.can_grow:
        columns, slots = shorter, min(slots, row_positions // shorter)
    return CachePlan(
        slots=slots,
        columns=columns,
        row_positions=min(row_positions, slots * columns),
        groups=groups,
        prompt_columns=prompt_columns,
    )


def cache_bytes(
    model: torch.nn.Module,
    calls: Sequence[CallSize],
    *,
    prompt_tokens: int,
    max_rows: int | None,
    dtype: torch.dtype,
    bound: int | None = None,
) -> int:
    """Upper bound of the KV cache of one engine, and of its states where layers keep states, in bytes.

    Args:
        model: The causal LM.
        calls: All sizes of calls; memory is kept from one call to the next.
        prompt_tokens: Longest prompt in tokens.
        max_rows: As the engine's.
        dtype: Precision of the engine's weights.
        bound: As the engine's `cache_bytes`.

    Raises:
        CacheError: One sample is over the bound.
    """
    needs = CacheNeeds.of(model, dtype)
    plans = [
        make_plan(call, needs, prompt_tokens=prompt_tokens, max_rows=max_rows, bound=bound) for call in calls
    ]
    positions, rows = max(plan.positions for plan in plans), max(plan.slots for plan in plans)
    most = needs.bytes(positions, rows)
    return most if bound is None else min(most, bound)
