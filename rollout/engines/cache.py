"""The KV cache of the rows being sampled, in buffers that are kept between calls.

All rows write their next token into the same column, no matter when they began, and a row attends to the
columns from its own first one on. Columns before the first one of the oldest row are free; when the last column
is used, the columns in use move to the front. Rows are contiguous: when some leave, the last ones move into
their places.

Shapes: B rows, K key-value heads, S columns, E head dimension; G groups of up to M rows, L prompt positions, R
query heads per key-value head.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class Window:
    """The rows and columns of the KV cache that are in use.

    Attributes:
        slots: Most rows.
        capacity: Number of columns.
        reserve: Columns always left before `end`, so that a prompt can be written there.
        rows: Rows in use, from 0.
        begin: First column in use.
        end: Column of the next token.
    """

    def __init__(self, *, slots: int, reserve: int, columns: int) -> None:
        self.slots = slots
        self.capacity = reserve + columns
        self.reserve = reserve
        self.rows = 0
        self.begin = 0
        self.end = reserve

    @property
    def length(self) -> int:
        """Columns in use."""
        return self.end - self.begin


class Buffers:
    """Memory for keys and values by name, kept from one call of the engine to the next.

    Allocating costs more than writing. Memory is zeroed once: masked positions are multiplied by 0, which
    removes every number but NaN.
    """

    def __init__(self, on_move: Callable[[], None] = lambda: None) -> None:
        """Allocate nothing yet.

        Args:
            on_move: Called before memory is freed, so that nothing holds on to the old memory beside the new.
        """
        self._flat: dict[str, torch.Tensor] = {}
        self._on_move = on_move

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """A tensor of this shape, with the device and dtype of `like`."""
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or len(flat) < size or (flat.dtype, flat.device) != (like.dtype, like.device):
            self._on_move()
            flat = None
            self._flat.pop(name, None)
            self._flat[name] = flat = like.new_zeros(size)
        return flat[:size].view(shape)

    def clear(self) -> None:
        """Free all memory."""
        self._on_move()
        self._flat.clear()


class RowLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values [B, K, S, E] of one layer, for the rows and columns of a window."""

    def __init__(self, window: Window, buffers: Buffers, index: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.window = window
        self._buffers = buffers
        self._index = index
        self._views: tuple[torch.Tensor, ...] | None = None  # the buffers of the rows in use

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate buffers for states shaped like these [*, K, *, E]."""
        self.dtype, self.device = key_states.dtype, key_states.device
        shape = (self.window.slots, key_states.shape[1], self.window.capacity)
        self.keys = self._buffers.take(f"keys {self._index}", (*shape, key_states.shape[3]), key_states)
        self.values = self._buffers.take(f"values {self._index}", (*shape, value_states.shape[3]), value_states)
        self.is_initialized = True

    def reserve(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Allocate buffers unless there are some, for states shaped like these [*, K, *, E]."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next token's [B, K, 1, E] and return the columns in use with it; the window's end stays."""
        self.reserve(key_states, value_states)
        self.append(key_states[:, :, 0], value_states[:, :, 0])
        assert self._views is not None
        keys, values, *_ = self._views
        used = slice(self.window.begin, self.window.end + 1)
        return keys[:, :, used], values[:, :, used]

    def append(self, keys_BKE: torch.Tensor, values_BKE: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Like `update`, into existing buffers, with rows and heads as one dimension [B * K, S, E]."""
        window = self.window
        if self._views is None or len(self._views[0]) != window.rows:
            assert self.keys is not None and self.values is not None
            keys, values = self.keys[: window.rows], self.values[: window.rows]
            self._views = keys, values, keys.flatten(0, 1), values.flatten(0, 1)
        keys, values, flat_keys, flat_values = self._views
        keys.select(2, window.end).copy_(keys_BKE)
        values.select(2, window.end).copy_(values_BKE)
        length = window.length + 1
        return flat_keys.narrow(1, window.begin, length), flat_values.narrow(1, window.begin, length)

    def get_seq_length(self) -> int:
        """Columns in use, as the library counts them for its masks."""
        return self.window.length

    def put(self, keys: torch.Tensor, values: torch.Tensor, start: int) -> None:
        """Write prompts [rows, K, L, E] into the columns before the next token, for rows from `start` on."""
        self.reserve(keys, values)
        assert self.keys is not None and self.values is not None
        rows = slice(start, start + len(keys))
        columns = slice(self.window.end - keys.shape[2], self.window.end)
        self.keys[rows, :, columns] = keys
        self.values[rows, :, columns] = values

    def move_rows(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Copy rows to other rows."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            used = slice(self.window.begin, self.window.end)
            self.keys[target, :, used] = self.keys[source, :, used]
            self.values[target, :, used] = self.values[source, :, used]

    def move_columns(self, by: int) -> None:
        """Copy the columns in use `by` columns towards the front."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            rows = slice(self.window.rows)
            used = slice(self.window.begin, self.window.end)
            target = slice(self.window.begin - by, self.window.end - by)
            self.keys[rows, :, target] = self.keys[rows, :, used].clone()
            self.values[rows, :, target] = self.values[rows, :, used].clone()


def states(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values [B, K, S, E] of each layer of the library's cache."""
    pairs = []
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        pairs.append((layer.keys, layer.values))
    return pairs


@dataclass(frozen=True, kw_only=True)
class PromptGrid:
    """The KV cache of the prompts, and the rows that continue them as a grid of groups times samples.

    Attributes:
        keys: Of each layer [G, K, L, E].
        values: Of each layer [G, K, L, E].
        mask: Added to the scores of each group's prompt [G, 1, 1, L]: 0, or minus infinity before its first
            token; None where all prompts have the same length.
        source: For each of [G, K, M], the flat index into [B, K] of its queries; arbitrary where the group has
            no such row.
        target: For each of [B, K, R], the flat index into [G, M, R, K] of its attention output; None where both
            orders are the same.
    """

    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]
    mask: torch.Tensor | None
    source: torch.Tensor
    target: torch.Tensor | None


class Prefix:
    """The KV cache of the prompts, stored once for all rows of a group.

    Attributes:
        slots: Most groups.
        samples: M, rows of the largest group.
        queries: R, query heads per key-value head.
        length: Columns of the buffers; every prompt ends at the last one.
        groups: Groups in use, from 0.
        keys: Buffers [slots, K, length, E] of each layer.
        values: Buffers [slots, K, length, E] of each layer.
        version: A new number, unique in the process, whenever prompts or rows have moved.
    """

    _versions = itertools.count()

    def __init__(self, buffers: Buffers, *, slots: int, samples: int, queries: int, length: int) -> None:
        """Allocate nothing before the first prompts.

        Args:
            buffers: Source of memory.
            slots: Most groups.
            samples: Rows of the largest group.
            queries: Query heads per key-value head.
            length: Longest prompt in tokens.
        """
        self._buffers = buffers
        self.slots = slots
        self.samples = samples
        self.queries = queries
        self.length = length
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._lengths: list[int] = []  # of each group's prompt
        self._members: list[tuple[int, int]] = []  # group of each row, and its number in the group
        self._grid: PromptGrid | None = None
        self.groups = 0
        self.version = next(self._versions)

    def put(self, cache: DynamicCache, lengths: Sequence[int]) -> list[int]:
        """Store prompts from a left-padded prefill; returns their groups."""
        start, self.groups = self.groups, self.groups + len(lengths)
        for index, (keys, values) in enumerate(states(cache)):
            if index == len(self.keys):
                shape = (self.slots, keys.shape[1], self.length)
                self.keys.append(self._buffers.take(f"prompt keys {index}", (*shape, keys.shape[3]), keys))
                self.values.append(
                    self._buffers.take(f"prompt values {index}", (*shape, values.shape[3]), values)
                )
            columns = slice(self.length - keys.shape[2], None)
            self.keys[index][start : self.groups, :, columns] = keys
            self.values[index][start : self.groups, :, columns] = values
        self._lengths += lengths
        return list(range(start, self.groups))

    def assign(self, group_of: Sequence[int]) -> list[int]:
        """Set the group of each row. Groups without rows leave, and the last ones take their places.

        Returns:
            The group of each row after that.
        """
        live = sorted(set(group_of))
        holes = sorted(set(range(len(live))) - set(live))
        movers = live[len(live) - len(holes) :]
        place = {group: group for group in live} | dict(zip(movers, holes, strict=True))
        if holes:
            for buffer in (*self.keys, *self.values):
                buffer[holes] = buffer[movers]
        self.groups = len(live)
        self._lengths = [self._lengths[group] for group in sorted(live, key=place.__getitem__)]
        placed = [place[group] for group in group_of]
        count = [0] * self.groups
        self._members = []
        for group in placed:
            self._members.append((group, count[group]))
            count[group] += 1
        self._grid = None
        self.version = next(self._versions)
        return placed

    @property
    def grid(self) -> PromptGrid:
        """The smallest grid for the current prompts and rows."""
        if self._grid is None:
            self._grid = self._make_grid()
        return self._grid

    def _make_grid(self) -> PromptGrid:
        samples = 1 + max(member for _, member in self._members)
        width = max(self._lengths)
        groups, columns = slice(self.groups), slice(self.length - width, None)
        source, target = self._indices(self.groups, samples)
        heads, device = self.keys[0].shape[1], self.keys[0].device
        in_order = torch.equal(target, torch.arange(self.groups * samples * self.queries * heads))
        return PromptGrid(
            keys=[keys[groups, :, columns] for keys in self.keys],
            values=[values[groups, :, columns] for values in self.values],
            mask=self._mask(self.groups, width) if len(set(self._lengths)) > 1 else None,
            source=source.to(device),
            target=None if in_order else target.to(device),
        )

    def make_fixed_grid(self, *, rows: int, groups: int) -> PromptGrid:
        """A grid for this many rows and groups whose tensors stay in place; `fill` updates their contents."""
        heads, device = self.keys[0].shape[1], self.keys[0].device
        return PromptGrid(
            keys=[keys[:groups] for keys in self.keys],
            values=[values[:groups] for values in self.values],
            mask=self._mask(groups, self.length),
            source=torch.zeros(groups * heads * self.samples, dtype=torch.long, device=device),
            target=torch.zeros(rows * heads * self.queries, dtype=torch.long, device=device),
        )

    def fill(self, grid: PromptGrid) -> None:
        """Write the current places of rows and prompts into a fixed grid."""
        assert grid.mask is not None and grid.target is not None
        grid.mask.copy_(self._mask(len(grid.mask), self.length))
        source, target = self._indices(len(grid.mask), self.samples)
        grid.source.copy_(source)
        grid.target[: len(target)] = target.to(grid.target.device)

    def _mask(self, groups: int, width: int) -> torch.Tensor:
        """See `PromptGrid.mask`; unused groups are not masked."""
        device = self.keys[0].device
        lengths = [*self._lengths, *[width] * (groups - self.groups)]
        first = torch.tensor([width - length for length in lengths], device=device)
        before = torch.arange(width, device=device) < first[:, None]
        return self.keys[0].new_zeros(before.shape).masked_fill_(before, -torch.inf)[:, None, None]

    def _indices(self, groups: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Source and target of a grid of this size."""
        place_B = torch.tensor([group * samples + member for group, member in self._members])
        row_of = torch.zeros(groups * samples, dtype=torch.long)
        row_of[place_B] = torch.arange(len(place_B))
        head_K, query_R = torch.arange(self.keys[0].shape[1]), torch.arange(self.queries)
        source_GKM = row_of.view(groups, 1, samples) * len(head_K) + head_K[:, None]
        target_BKR = (place_B[:, None, None] * len(query_R) + query_R) * len(head_K) + head_K[:, None]
        return source_GKM.flatten(), target_BKR.flatten()
