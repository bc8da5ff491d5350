"""The rows in an engine's batch: prompts are admitted, tokens are read, finished rows leave.

There are two kinds. `LibraryRows` uses the library's forward. `DecoderRows` uses the decode step of
`decoder.py`, and keeps the KV cache of a prompt once for all samples of its group.

Shapes: P prompts, B rows, L prompt positions (left-padded), S columns of the KV cache, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn
from transformers import DynamicCache

from rollout.engines.cache import Buffers, Prefix, RowLayer, Window, states
from rollout.engines.cuda_graphs import DecodeGraphs
from rollout.engines.decoder import Decoder
from rollout.engines.states import StateLayer, cache_argument, keeps_states, make_row_layers
from rollout.types import Prompt


class Rows(Protocol):
    """The batch as the sampling loop sees it."""

    def fits(self, prompt: Prompt, coming: Sequence[Prompt]) -> bool:
        """Whether the samples of a prompt fit, besides those of the prompts that are about to be admitted."""
        ...

    def admit(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Prefill prompts; their samples become the new last rows.

        Returns:
            Logits [new rows, V] of their first tokens, in float32.
        """
        ...

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """Read one token per row and return the logits [B, V] of the next, in float32."""
        ...

    def leave(self, leaving: Sequence[int]) -> list[int]:
        """Remove rows; the last ones move into their places.

        Returns:
            For each remaining row, the row that it was.
        """
        ...


class _WindowRows:
    """State of each row that both kinds keep: its first column and its next position."""

    def __init__(self, model: nn.Module, *, pad_id: int, window: Window) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self._cache_name = cache_argument(model)
        self._pad_id = pad_id
        self._window = window
        self._layers: list[RowLayer] = []
        self._first: list[int] = []  # first column that each row attends to
        self._first_B = torch.empty(0, dtype=torch.long, device=self.device)
        self._position_B = torch.empty(0, dtype=torch.long, device=self.device)

    def fits(self, prompt: Prompt, coming: Sequence[Prompt]) -> bool:
        """See `Rows.fits`."""
        rows = self._window.rows + sum(len(other.seeds) for other in (*coming, prompt))
        return rows <= self._window.slots

    def _prefill(self, prompts: Sequence[Prompt]) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
        """Logits [B, V] of each sample's first token, the KV cache of the prompts, each sample's prompt [B]."""
        width = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), width), self._pad_id)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for p, prompt in enumerate(prompts):
            ids[p, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
            mask[p, width - len(prompt.ids) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        config: Any = self.model.config
        cache = DynamicCache(config=config.get_text_config())
        logits_PV = self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)
        owner = [p for p, prompt in enumerate(prompts) for _ in prompt.seeds]
        owner_B = torch.tensor(owner, dtype=torch.long, device=self.device)
        return logits_PV[owner_B], cache, owner_B

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor | None, position: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        """Logits [rows, V] of the next token, in float32, after the last of `ids` [rows, n]."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: cache},
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _add(self, prompts: Sequence[Prompt], first: Sequence[int]) -> None:
        """Add the samples of prompts as rows."""
        positions = [len(prompt.ids) for prompt in prompts for _ in prompt.seeds]
        self._window.rows += len(positions)
        self._first += first
        self._first_B = torch.tensor(self._first, device=self.device)
        self._begin()
        added = torch.tensor(positions, device=self.device)
        self._position_B = torch.cat([self._position_B, added])

    def _make_way(self) -> None:
        """Free a column for the next token, if none is free."""
        window = self._window
        if window.end == window.capacity:
            by = min(window.begin, window.end - window.reserve)
            for layer in self._layers:
                layer.move_columns(by)
            self._first = [column - by for column in self._first]
            self._first_B = self._first_B - by
            window.begin -= by
            window.end -= by

    def _advance(self) -> None:
        self._window.end += 1
        self._position_B = self._position_B + 1

    def _mask(self) -> torch.Tensor | None:
        """The columns that each row attends to [B, S], the next token's included; None where all see all."""
        if max(self._first) == self._window.begin:
            return None
        columns = torch.arange(self._window.begin, self._window.end + 1, device=self.device)
        return columns >= self._first_B[:, None]

    def leave(self, leaving: Sequence[int]) -> list[int]:
        """See `Rows.leave`."""
        gone = set(leaving)
        left = self._window.rows - len(gone)
        holes = sorted(row for row in gone if row < left)
        movers = [row for row in range(left, self._window.rows) if row not in gone]
        order = list(range(left))
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        self._take(order, holes, movers)
        self._window.rows = left
        return order

    def _take(self, order: list[int], holes: list[int], movers: list[int]) -> None:
        if holes:
            source = torch.tensor(movers, device=self.device)
            target = torch.tensor(holes, device=self.device)
            for layer in self._layers:
                layer.move_rows(source, target)
        self._first = [self._first[row] for row in order]
        index = torch.tensor(order, dtype=torch.long, device=self.device)
        self._first_B, self._position_B = self._first_B[index], self._position_B[index]
        self._begin()

    def _begin(self) -> None:
        """Start the window at the first column of the oldest row."""
        if self._first:
            self._window.begin = min(self._first)


class LibraryRows(_WindowRows):
    """Rows of a causal LM by the library's forward; the KV cache of a prompt is copied to each of its samples.

    Layers may keep a state (linear attention, state spaces) instead of keys and values, or beside them. Where a
    layer keeps anything else, such as a sliding window, the library's own cache is used, and new rows are
    admitted only when all have left.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        buffers: Buffers,
        pad_id: int,
        slots: int,
        longest_prompt: int,
        columns: int,
    ) -> None:
        """Allocate nothing before the first prompts.

        Args:
            model: The causal LM.
            buffers: Source of memory.
            pad_id: Token that pads prompts on the left.
            slots: Most rows.
            longest_prompt: Longest prompt of the call, in tokens.
            columns: Columns for new tokens.
        """
        super().__init__(
            model, pad_id=pad_id, window=Window(slots=slots, reserve=longest_prompt, columns=columns)
        )
        config: Any = model.config
        self._cache: Any = DynamicCache(config=config.get_text_config())
        self._has_states = keeps_states(model)
        own = make_row_layers(self._cache.layers, self._window, buffers)
        self._is_own = own is not None
        if own is not None:
            self._cache.layers = own
            self._layers = [layer for layer in own if isinstance(layer, RowLayer)]

    def fits(self, prompt: Prompt, coming: Sequence[Prompt]) -> bool:
        """See `Rows.fits`."""
        if not self._is_own:
            if self._window.rows:
                return False
            if self._has_states and coming and len(coming[0].ids) != len(prompt.ids):
                return False
        return super().fits(prompt, coming)

    def admit(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """See `Rows.admit`."""
        if not self._has_states:
            return self._admit(prompts)
        # Padding would stay in the states, so prompts of different lengths are prefilled apart.
        parts = [list(part) for _, part in itertools.groupby(prompts, key=lambda prompt: len(prompt.ids))]
        return torch.cat([self._admit(part) for part in parts])

    def _admit(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        cache: Any
        logits_BV, cache, owner_B = self._prefill(prompts)
        if self._is_own:
            for own, new in zip(self._cache.layers, cache.layers, strict=True):
                if isinstance(own, RowLayer):
                    own.put(new.keys[owner_B], new.values[owner_B], start=self._window.rows)
                if isinstance(own, StateLayer):
                    own.add(new, owner_B)
        else:
            cache.reorder_cache(owner_B)
            self._cache = cache
            self._window.end = cache.get_seq_length()
        self._add(prompts, [self._window.end - len(prompt.ids) for prompt in prompts for _ in prompt.seeds])
        return logits_BV

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See `Rows.decode_step`."""
        self._make_way()
        mask = self._mask() if self._layers or not self._is_own else None  # states have no columns to mask
        mask = None if mask is None else mask.long()
        logits = self._forward(token_B[:, None], mask, self._position_B[:, None], self._cache)
        self._advance()
        return logits

    def _take(self, order: list[int], holes: list[int], movers: list[int]) -> None:
        super()._take(order, holes, movers)
        index_B = torch.tensor(order, dtype=torch.long, device=self.device)
        if not self._is_own:
            self._cache.reorder_cache(index_B)
        elif self._has_states:
            for layer in self._cache.layers:
                if isinstance(layer, StateLayer):
                    layer.take(index_B)

    def _begin(self) -> None:
        if self._is_own:  # the library's cache keeps all columns
            super()._begin()


class DecoderRows(_WindowRows):
    """Rows of a model with a `Decoder`; the window holds new tokens only."""

    def __init__(
        self,
        model: nn.Module,
        decoder: Decoder,
        *,
        buffers: Buffers,
        pad_id: int,
        slots: int,
        groups: int,
        samples: int,
        longest_prompt: int,
        columns: int,
        graphs: DecodeGraphs | None = None,
    ) -> None:
        """Allocate nothing before the first prompts.

        Args:
            model: The causal LM, for the prefill.
            decoder: Its decode step.
            buffers: Source of memory.
            pad_id: Token that pads prompts on the left.
            slots: Most rows.
            groups: Most prompts.
            samples: Rows of the largest group.
            longest_prompt: Longest prompt of the call, in tokens.
            columns: Columns for new tokens.
            graphs: Captured decode steps to replay; None: no step is captured.
        """
        super().__init__(model, pad_id=pad_id, window=Window(slots=slots, reserve=0, columns=columns))
        if decoder.reserve(longest_prompt + columns) and graphs is not None:
            graphs.clear()
        self._decoder = decoder
        self._graphs = graphs
        self._layers = [RowLayer(self._window, buffers, index) for index in range(decoder.num_layers)]
        self._prefix = Prefix(
            buffers, slots=groups, samples=samples, queries=decoder.queries, length=longest_prompt
        )
        self._group: list[int] = []  # each row's prompt, as its group in the prefix

    def admit(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """See `Rows.admit`."""
        logits_BV, cache, _ = self._prefill(prompts)
        for layer, (keys, values) in zip(self._layers, states(cache), strict=True):
            layer.reserve(keys, values)
        groups = self._prefix.put(cache, [len(prompt.ids) for prompt in prompts])
        self._group += [group for group, prompt in zip(groups, prompts, strict=True) for _ in prompt.seeds]
        self._group = self._prefix.assign(self._group)
        self._add(prompts, [self._window.end for prompt in prompts for _ in prompt.seeds])
        return logits_BV

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See `Rows.decode_step`."""
        self._make_way()
        if self._graphs is None:
            mask = self._mask()
            logits = self._decoder.decode_step(token_B, self._position_B, mask, self._layers, self._prefix.grid)
        else:
            logits = self._graphs.decode_step(
                token_B,
                self._position_B,
                self._first_B,
                window=self._window,
                layers=self._layers,
                prefix=self._prefix,
            )
        self._advance()
        return logits

    def _take(self, order: list[int], holes: list[int], movers: list[int]) -> None:
        super()._take(order, holes, movers)
        self._group = self._prefix.assign([self._group[row] for row in order])
