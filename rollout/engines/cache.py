"""The KV cache of the rows being sampled, in buffers that are kept between calls.

All rows write their next token into the same column, no matter when they began, and a row attends to the
columns from its own first one on. Columns before the first one of the oldest row are free; when the last column
is used, the columns in use move to the front. Rows are contiguous: when some leave, the last ones move into
their places.

Where the memory does not hold all rows at their full length, it is laid out for many rows of few columns first,
and for fewer rows of more columns as rows leave.

Shapes: B rows, K key-value heads, S columns, E head dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

_LEAST_COLUMNS = 64  # that rows can grow by when some are admitted


def round_up(number: int, most: int) -> int:
    """The next power of two or the middle between two of them, at most `most`."""
    power = 1 << max(number - 1, 0).bit_length()
    between = power // 4 * 3
    return min(between if between >= number else power, most)


class Window:
    """The rows and columns of the KV cache that are in use.

    Attributes:
        slots: Most rows.
        columns: Most columns.
        positions: Memory for rows times columns.
        can_grow: Memory is laid out for fewer columns at first, because all rows and columns are more than it.
        capacity: Number of columns that it is laid out for.
        reserve: Columns always left before `end`, so that a prompt can be written there.
        rows: Rows in use, from 0.
        begin: First column in use.
        end: Column of the next token.
    """

    def __init__(self, *, slots: int, columns: int, positions: int, reserve: int = 0) -> None:
        self.slots = slots
        self.columns = columns
        self.positions = positions
        self.can_grow = positions < slots * columns
        self.capacity = round_up(_LEAST_COLUMNS, columns) if self.can_grow else columns
        self.reserve = 0 if self.can_grow else reserve  # columns are made where a prompt needs them
        self.rows = 0
        self.begin = 0
        self.end = self.reserve

    @property
    def length(self) -> int:
        """Columns in use."""
        return self.end - self.begin

    def rows_of(self, capacity: int) -> int:
        """Rows that there is memory for with this number of columns."""
        return min(self.slots, self.positions // capacity)

    def room_to_grow(self, length: int) -> int:
        """Columns that let rows grow for a while beyond this length."""
        if not self.can_grow:
            return self.columns
        return round_up(length + _LEAST_COLUMNS, self.columns)


class Buffers:
    """Memory for keys and values by name, kept from one call of the engine to the next.

    Allocating costs more than writing. Memory is zeroed once: masked positions are multiplied by 0, which
    removes every number but NaN.

    Attributes:
        positions: Positions, of rows and of prompts, that each name has memory for.
    """

    def __init__(self, on_move: Callable[[], None] = lambda: None) -> None:
        """Allocate nothing yet.

        Args:
            on_move: Called before memory is freed, so that nothing holds on to the old memory beside the new.
        """
        self.positions = 0
        self._flat: dict[str, torch.Tensor] = {}
        self._on_move = on_move

    def take(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """All memory of this name, flat, for states shaped like these [*, K, *, E] and with their dtype."""
        size = self.positions * like.shape[1] * like.shape[3]
        flat = self._flat.get(name)
        if flat is None or len(flat) < size or (flat.dtype, flat.device) != (like.dtype, like.device):
            self._on_move()
            flat = None
            self._flat.pop(name, None)
            self._flat[name] = flat = like.new_zeros(size)
        return flat

    @property
    def nbytes(self) -> int:
        """Size of all memory in bytes."""
        return sum(flat.nbytes for flat in self._flat.values())

    def clear(self) -> None:
        """Free all memory."""
        self._on_move()
        self._flat.clear()


def shaped(flat: torch.Tensor, shape: tuple[int, ...], start: int = 0) -> torch.Tensor:
    """The part of flat memory from number `start` on that this shape takes."""
    return flat[start : start + math.prod(shape)].view(shape)


class RowLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values [B, K, S, E] of one layer, for the rows and columns of a window."""

    def __init__(self, window: Window, buffers: Buffers, index: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.window = window
        self._buffers = buffers
        self._index = index
        self._flat: list[torch.Tensor] = []  # of keys and of values
        self._views: tuple[torch.Tensor, ...] | None = None  # the buffers of the rows in use

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate buffers for states shaped like these [*, K, *, E]."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._flat = [
            self._buffers.take(f"{name} {self._index}", states)
            for name, states in (("keys", key_states), ("values", value_states))
        ]
        self.keys, self.values = (
            self._laid_out(flat, states, self.window.capacity)
            for flat, states in zip(self._flat, (key_states, value_states), strict=True)
        )
        self.is_initialized = True

    def _laid_out(self, flat: torch.Tensor, like: torch.Tensor, capacity: int) -> torch.Tensor:
        """Memory as rows of this number of columns."""
        return shaped(flat, (self.window.rows_of(capacity), like.shape[1], capacity, like.shape[3]))

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

    def lay_out(self, capacity: int, by: int) -> None:
        """Move to a layout of `capacity` columns, and the columns in use `by` columns towards the front."""
        if not self.is_initialized:
            return
        assert self.keys is not None and self.values is not None
        rows, used = slice(self.window.rows), slice(self.window.begin, self.window.end)
        target = slice(self.window.begin - by, self.window.end - by)
        moved = []
        for flat, old in zip(self._flat, (self.keys, self.values), strict=True):
            kept = old[rows, :, used].clone()
            new = self._laid_out(flat, old, capacity)
            new[rows, :, target] = kept
            moved.append(new)
        self.keys, self.values = moved
        self._views = None
