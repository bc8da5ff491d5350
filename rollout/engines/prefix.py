"""The KV cache of the prompts of written-out families, stored once for all rows of a group.

Shapes: B rows, K key-value heads, E head dimension; G groups of up to M rows, L prompt positions, R query heads
per key-value head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from rollout.engines.cache import Buffers, shaped


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


class StoredPrompt(NamedTuple):
    """Where a prefill has read a prompt: its row, the column after its last token, its tokens."""

    row: int
    end: int
    length: int


class Prefix:
    """The KV cache of the prompts, stored once for all rows of a group.

    Attributes:
        start: First position of the prompts in the buffers.
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

    def __init__(
        self, buffers: Buffers, *, start: int, slots: int, samples: int, queries: int, length: int
    ) -> None:
        """Allocate nothing before the first prompts.

        Args:
            buffers: Source of memory.
            start: First position of the prompts in it; those before are for rows.
            slots: Most groups.
            samples: Rows of the largest group.
            queries: Query heads per key-value head.
            length: Longest prompt in tokens.
        """
        self._buffers = buffers
        self.start = start
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

    def put(
        self, states: Sequence[tuple[torch.Tensor, torch.Tensor]], prompts: Sequence[StoredPrompt]
    ) -> list[int]:
        """Store prompts; returns their groups.

        Args:
            states: Keys and values [P, K, *, E] of each layer, from a prefill.
            prompts: Where the prompts stand in them.
        """
        start, self.groups = self.groups, self.groups + len(prompts)
        for index, pair in enumerate(states):
            if index == len(self.keys):
                self.keys.append(self._take(f"keys {index}", pair[0]))
                self.values.append(self._take(f"values {index}", pair[1]))
            for buffer, read in zip((self.keys[index], self.values[index]), pair, strict=True):
                at = start
                for end, together in itertools.groupby(prompts, key=lambda prompt: prompt.end):
                    part = list(together)
                    width = max(prompt.length for prompt in part)
                    rows = [prompt.row for prompt in part]
                    buffer[at : at + len(part), :, self.length - width :] = read[rows, :, end - width : end]
                    at += len(part)
        self._lengths += [prompt.length for prompt in prompts]
        return list(range(start, self.groups))

    def _take(self, name: str, like: torch.Tensor) -> torch.Tensor:
        heads, dim = like.shape[1], like.shape[3]
        shape = (self.slots, heads, self.length, dim)
        return shaped(self._buffers.take(name, like), shape, start=self.start * heads * dim)

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
