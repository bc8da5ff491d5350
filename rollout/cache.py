"""Keys and values of the rows being sampled, in buffers that are kept.

All rows write their next token into the same column, whenever they began, so a row is visible from its own
first column on. Columns before the oldest row's first are free; when the last column is used, what is in use
moves to the front. Rows are kept together: when some leave, the last ones move into their places.

Shapes: B rows, K heads, S positions, E head dimension; G groups of up to M rows, L prompt positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class Window:
    """Which rows and columns of the buffers are in use.

    Attributes:
        slots: Rows there is room for.
        capacity: Columns there are.
        reserve: Columns that are always left before `end`, for a prompt to be written into.
        rows: Rows in use, from 0.
        begin: First column in use.
        end: Column the next token goes to.
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

    New memory costs more than what is written to it. It is zeroed once: what a row does not see is multiplied
    by 0, which leaves no trace of any number but of a NaN.
    """

    def __init__(self) -> None:
        self._flat: dict[str, torch.Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """A tensor of this shape, on the device and of the dtype of `like`."""
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or len(flat) < size or (flat.dtype, flat.device) != (like.dtype, like.device):
            self._flat[name] = flat = like.new_zeros(size)
        return flat[:size].view(shape)


class RowLayer(DynamicLayer):
    """Keys and values [B, K, S, E] of one layer for the rows and columns of a window."""

    def __init__(self, window: Window, buffers: Buffers, index: int) -> None:
        super().__init__()
        self.window = window
        self._buffers = buffers
        self._index = index

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take buffers for states shaped like these [*, K, *, E]."""
        self.dtype, self.device = key_states.dtype, key_states.device
        shape = (self.window.slots, key_states.shape[1], self.window.capacity)
        self.keys = self._buffers.take(f"keys {self._index}", (*shape, key_states.shape[3]), key_states)
        self.values = self._buffers.take(f"values {self._index}", (*shape, value_states.shape[3]), value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next token's [B, K, 1, E] and return what is in use with it; the window's end stays."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        window = self.window
        self.keys[: window.rows, :, window.end] = key_states[:, :, 0]
        self.values[: window.rows, :, window.end] = value_states[:, :, 0]
        used = slice(window.begin, window.end + 1)
        return self.keys[: window.rows, :, used], self.values[: window.rows, :, used]

    def get_seq_length(self) -> int:
        """Columns in use, as the library's masks count them."""
        return self.window.length

    def put(self, keys: torch.Tensor, values: torch.Tensor, start: int) -> None:
        """Write prompts [rows, K, L, E] into the columns before the next, for rows from `start` on."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        assert self.keys is not None and self.values is not None
        rows = slice(start, start + len(keys))
        columns = slice(self.window.end - keys.shape[2], self.window.end)
        self.keys[rows, :, columns] = keys
        self.values[rows, :, columns] = values

    def move_rows(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Copy rows to other places."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            used = slice(self.window.begin, self.window.end)
            self.keys[target, :, used] = self.keys[source, :, used]
            self.values[target, :, used] = self.values[source, :, used]

    def move_columns(self, by: int) -> None:
        """Copy the columns in use so many towards the front."""
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            rows = slice(self.window.rows)
            used = slice(self.window.begin, self.window.end)
            target = slice(self.window.begin - by, self.window.end - by)
            self.keys[rows, :, target] = self.keys[rows, :, used].clone()
            self.values[rows, :, target] = self.values[rows, :, used].clone()


def states(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values [B, K, S, E] of each layer of a cache of the library's."""
    pairs = []
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        pairs.append((layer.keys, layer.values))
    return pairs


class Prefix:
    """Keys and values of the prompts of groups, once for all rows of a group.

    Attributes:
        groups: Groups in use, from 0.
        samples: M, rows of the largest group.
        width: L, of the longest prompt in use.
        mask: Added to the scores of each group's prompt [G, 1, 1, L]: 0, or minus infinity before its first
            token; None where all are as long.
        slot_B: Place of each row in the grid of groups and samples; None where row and place are the same.
    """

    def __init__(self, buffers: Buffers, *, slots: int, length: int) -> None:
        """Nothing is allocated before the first prompts.

        Args:
            buffers: Where memory is taken from.
            slots: Groups there is room for.
            length: Longest prompt, in tokens.
        """
        self._buffers = buffers
        self._slots = slots
        self._length = length
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._lengths: list[int] = []  # of each group's prompt
        self.groups = 0
        self.samples = 0
        self.width = 0
        self.mask: torch.Tensor | None = None
        self.slot_B: torch.Tensor | None = None
        self._row_of: torch.Tensor | None = None  # of each place; any, where there is none

    def put(self, cache: DynamicCache, lengths: Sequence[int]) -> list[int]:
        """Take over prompts that were read left-padded; returns their groups."""
        start, self.groups = self.groups, self.groups + len(lengths)
        for index, (keys, values) in enumerate(states(cache)):
            if index == len(self._keys):
                shape = (self._slots, keys.shape[1], self._length)
                self._keys.append(self._buffers.take(f"prompt keys {index}", (*shape, keys.shape[3]), keys))
                self._values.append(
                    self._buffers.take(f"prompt values {index}", (*shape, values.shape[3]), values)
                )
            columns = slice(self._length - keys.shape[2], None)
            self._keys[index][start : self.groups, :, columns] = keys
            self._values[index][start : self.groups, :, columns] = values
        self._lengths += lengths
        return list(range(start, self.groups))

    def assign(self, group_of: Sequence[int]) -> list[int]:
        """Say which group each row belongs to. Groups without rows leave, the last ones take their places.

        Returns:
            The group of each row after that.
        """
        live = sorted(set(group_of))
        holes = sorted(set(range(len(live))) - set(live))
        movers = live[len(live) - len(holes) :]
        place = {group: group for group in live} | dict(zip(movers, holes, strict=True))
        if holes:
            for buffer in (*self._keys, *self._values):
                buffer[holes] = buffer[movers]
        self.groups = len(live)
        self._lengths = [self._lengths[group] for group in sorted(live, key=place.__getitem__)]
        placed = [place[group] for group in group_of]
        count = [0] * self.groups
        member = []
        for group in placed:
            member.append(count[group])
            count[group] += 1
        self.samples = max(count, default=0)
        slots = [group * self.samples + m for group, m in zip(placed, member, strict=True)]
        device = self._keys[0].device
        self.width = max(self._lengths, default=0)
        self.mask = None
        if len(set(self._lengths)) > 1:
            first = torch.tensor([self.width - length for length in self._lengths], device=device)
            before = torch.arange(self.width, device=device) < first[:, None]
            zeros = self._keys[0].new_zeros(before.shape)
            self.mask = zeros.masked_fill_(before, -torch.inf)[:, None, None]
        self.slot_B = self._row_of = None
        if slots != list(range(self.groups * self.samples)):
            rows = dict(zip(slots, range(len(slots)), strict=True))
            row_of = [rows.get(place, 0) for place in range(self.groups * self.samples)]
            self.slot_B = torch.tensor(slots, device=device)
            self._row_of = torch.tensor(row_of, device=device)
        return placed

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [G, K, L, E] of one layer."""
        columns = slice(self._length - self.width, None)
        return self._keys[index][: self.groups, :, columns], self._values[index][: self.groups, :, columns]

    def to_grid(self, rows: torch.Tensor) -> torch.Tensor:
        """[B, ...] as [G, M, ...]; places without a row hold those of some other."""
        grid = rows if self._row_of is None else rows.index_select(0, self._row_of)
        return grid.view(self.groups, self.samples, *rows.shape[1:])

    def to_rows(self, grid: torch.Tensor) -> torch.Tensor:
        """[G, M, ...] as [B, ...]."""
        flat = grid.flatten(0, 1)
        return flat if self.slot_B is None else flat.index_select(0, self.slot_B)
