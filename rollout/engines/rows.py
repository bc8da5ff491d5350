"""The rows in an engine's batch: prompts are admitted, tokens are read, finished rows leave.

There are two kinds. `LibraryRows` uses the library's forward. `DecoderRows` uses the decode step of
`decoder.py`, and keeps the KV cache of a prompt once for all samples of its group.

Shapes: P requests, B rows, L prompt positions (left-padded), S columns of the KV cache, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from transformers import DynamicCache

from rollout.engines.cache import Buffers, RowLayer, Window, round_up, states
from rollout.engines.cache_size import CachePlan
from rollout.engines.cuda_graphs import DecodeGraphs
from rollout.engines.decoder import Decoder
from rollout.engines.prefix import Prefix, StoredPrompt
from rollout.engines.states import StateLayer, cache_argument, keeps_states, make_row_layers

_PREFILLED_AT_ONCE = 1 << 15  # tokens, padding included


@dataclass(frozen=True, kw_only=True)
class Request:
    """Samples of one prompt that wait for their rows.

    Attributes:
        group: Number of the prompt in the call.
        ids: Token ids of the prompt.
        samples: Numbers of the samples in the call.
        sampled: Tokens that its only sample already has, if it was preempted.
    """

    group: int
    ids: tuple[int, ...]
    samples: tuple[int, ...]
    sampled: tuple[int, ...] = ()

    @property
    def tokens(self) -> tuple[int, ...]:
        """What is prefilled."""
        return self.ids + self.sampled


class Rows(Protocol):
    """The batch as the sampling loop sees it."""

    def room(self, request: Request, coming: Sequence[Request]) -> int:
        """How many samples of a request fit, besides those of the requests that are about to be admitted."""
        ...

    def admit(self, requests: Sequence[Request]) -> torch.Tensor:
        """Prefill requests; their samples become the new last rows.

        Returns:
            Logits [new rows, V] of their next tokens, in float32.
        """
        ...

    def make_way(self, steps: int) -> int:
        """Make columns for this many decode steps, or say how many rows must leave before."""
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

    def room(self, request: Request, coming: Sequence[Request]) -> int:
        """See `Rows.room`."""
        window = self._window
        rows = window.rows + sum(len(other.samples) for other in coming)
        length = max(window.length, *(self._num_columns(each) for each in (*coming, request)))
        free, wanted = window.rows_of(window.room_to_grow(length)) - rows, len(request.samples)
        if window.can_grow or wanted > window.slots:  # memory is short, so a group may come in parts
            return max(0, min(free, wanted))
        return wanted if wanted <= free else 0

    def _num_columns(self, request: Request) -> int:
        """Columns that a row of this request begins with."""
        raise NotImplementedError

    def admit(self, requests: Sequence[Request]) -> torch.Tensor:
        """See `Rows.admit`."""
        window = self._window
        rows = window.rows + sum(len(request.samples) for request in requests)
        longest = max(self._num_columns(request) for request in requests)
        if rows > window.rows_of(window.capacity) or longest > window.end:
            length = max(window.length, longest)
            self._lay_out(window.room_to_grow(length), end=length)
        return torch.cat([self._admit(part) for part in self._prefill_parts(requests)])

    def _prefill_parts(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        """The requests that are prefilled together."""
        part: list[Request] = []
        for request in requests:
            width = max(len(each.tokens) for each in (*part, request))
            if part and width * (len(part) + 1) > _PREFILLED_AT_ONCE:
                yield part
                part = []
            part.append(request)
        yield part

    def _admit(self, requests: Sequence[Request]) -> torch.Tensor:
        """Prefill requests together."""
        raise NotImplementedError

    def _prefill(self, requests: Sequence[Request]) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
        """Logits [B, V] of each sample's next token, the KV cache [P, ...], the request of each sample [B]."""
        width = max(len(request.tokens) for request in requests)
        ids = torch.full((len(requests), width), self._pad_id)
        mask = torch.zeros((len(requests), width), dtype=torch.long)
        for p, request in enumerate(requests):
            ids[p, width - len(request.tokens) :] = torch.tensor(request.tokens)
            mask[p, width - len(request.tokens) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        config: Any = self.model.config
        cache = DynamicCache(config=config.get_text_config())
        logits_PV = self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)
        owner = [p for p, request in enumerate(requests) for _ in request.samples]
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

    def _add(self, requests: Sequence[Request]) -> None:
        """Add the samples of requests as rows."""
        samples = [request for request in requests for _ in request.samples]
        self._window.rows += len(samples)
        self._first += [self._window.end - self._num_columns(request) for request in samples]
        self._first_B = torch.tensor(self._first, device=self.device)
        self._begin()
        added = torch.tensor([len(request.tokens) for request in samples], device=self.device)
        self._position_B = torch.cat([self._position_B, added])

    def make_way(self, steps: int) -> int:
        """See `Rows.make_way`."""
        window = self._window
        if window.end + steps <= window.capacity:
            return 0
        free = min(window.begin, window.end - window.reserve)  # columns at the front
        if window.capacity == window.columns or free >= max(steps, window.capacity // 4):
            self._lay_out(window.capacity, end=window.end - free)
            return 0
        capacity = round_up(max(window.length + steps, window.capacity + 1), window.columns)
        if (surplus := window.rows - window.rows_of(capacity)) > 0:
            return surplus
        self._lay_out(capacity, end=window.length)
        return 0

    def _lay_out(self, capacity: int, end: int) -> None:
        """Lay the memory out for this many columns, with the next token in column `end`."""
        window = self._window
        by = window.end - end
        for layer in self._layers:
            layer.lay_out(capacity, by)
        window.capacity = capacity
        window.begin -= by
        window.end = end
        self._first = [column - by for column in self._first]
        self._first_B = self._first_B - by

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
        plan: CachePlan,
    ) -> None:
        """Allocate nothing before the first prompts.

        Args:
            model: The causal LM.
            buffers: Source of memory.
            pad_id: Token that pads prompts on the left.
            plan: The division of the memory.
        """
        window = Window(
            slots=plan.slots,
            columns=plan.columns,
            positions=plan.row_positions,
            reserve=plan.prompt_columns,
        )
        super().__init__(model, pad_id=pad_id, window=window)
        config: Any = model.config
        self._cache: Any = DynamicCache(config=config.get_text_config())
        self._has_states = keeps_states(model)
        own = make_row_layers(self._cache.layers, self._window, buffers)
        self._is_own = own is not None
        if own is not None:
            self._cache.layers = own
            self._layers = [layer for layer in own if isinstance(layer, RowLayer)]

    def room(self, request: Request, coming: Sequence[Request]) -> int:
        """See `Rows.room`."""
        if not self._is_own:
            if self._window.rows:
                return 0
            if self._has_states and coming and len(coming[0].ids) != len(request.ids):
                return 0
        return super().room(request, coming)

    def admit(self, requests: Sequence[Request]) -> torch.Tensor:
        """See `Rows.admit`."""
        # The library's cache of the prefill becomes that of the rows.
        return super().admit(requests) if self._is_own else self._admit(requests)

    def _num_columns(self, request: Request) -> int:
        return len(request.tokens)

    def _prefill_parts(self, requests: Sequence[Request]) -> Iterator[list[Request]]:
        if not self._has_states:
            yield from super()._prefill_parts(requests)
        else:  # padding would stay in the states, so prompts of different lengths are prefilled apart
            for _, part in itertools.groupby(requests, key=lambda request: len(request.tokens)):
                yield from super()._prefill_parts(list(part))

    def _admit(self, requests: Sequence[Request]) -> torch.Tensor:
        cache: Any
        logits_BV, cache, owner_B = self._prefill(requests)
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
        self._add(requests)
        return logits_BV

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See `Rows.decode_step`."""
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

    def make_way(self, steps: int) -> int:
        """See `Rows.make_way`."""
        return super().make_way(steps) if self._is_own else 0

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
        plan: CachePlan,
        samples: int,
        graphs: DecodeGraphs | None = None,
    ) -> None:
        """Allocate nothing before the first prompts.

        Args:
            model: The causal LM, for the prefill.
            decoder: Its decode step, with tables for all positions.
            buffers: Source of memory.
            pad_id: Token that pads prompts on the left.
            plan: The division of the memory.
            samples: Rows of the largest group.
            graphs: Captured decode steps to replay; None: no step is captured.
        """
        window = Window(slots=plan.slots, columns=plan.columns, positions=plan.row_positions)
        super().__init__(model, pad_id=pad_id, window=window)
        self._decoder = decoder
        self._graphs = graphs
        self._layers = [RowLayer(self._window, buffers, index) for index in range(decoder.num_layers)]
        self._prefix = Prefix(
            buffers,
            start=plan.row_positions,
            slots=plan.groups,
            samples=samples,
            queries=decoder.queries,
            length=plan.prompt_columns,
        )
        self._number: list[int] = []  # of each row's prompt in the call
        self._group: list[int] = []  # the same prompt as a group in the prefix

    def room(self, request: Request, coming: Sequence[Request]) -> int:
        """See `Rows.room`."""
        prompts = {*self._number, *(each.group for each in coming), request.group}
        return super().room(request, coming) if len(prompts) <= self._prefix.slots else 0

    def _num_columns(self, request: Request) -> int:
        return len(request.sampled)

    def _admit(self, requests: Sequence[Request]) -> torch.Tensor:
        logits_BV, cache, owner_B = self._prefill(requests)
        for layer, (keys, values) in zip(self._layers, states(cache), strict=True):
            layer.reserve(keys, values)
        group_of = dict(zip(self._number, self._group, strict=True))
        width = max(len(request.tokens) for request in requests)
        new: dict[int, StoredPrompt] = {}
        for row, request in enumerate(requests):
            if request.group not in group_of and request.group not in new:
                new[request.group] = StoredPrompt(row, width - len(request.sampled), len(request.ids))
        group_of |= zip(new, self._prefix.put(cache, list(new.values())), strict=True)
        if longest := max(len(request.sampled) for request in requests):
            for layer, pair in zip(self._layers, states(cache), strict=True):
                keys, values = (states[owner_B, :, width - longest :] for states in pair)
                layer.put(keys, values, start=self._window.rows)
        self._number += [request.group for request in requests for _ in request.samples]
        self._group = self._prefix.assign([group_of[number] for number in self._number])
        self._add(requests)
        return logits_BV

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See `Rows.decode_step`."""
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
        self._number = [self._number[row] for row in order]
        self._group = self._prefix.assign([self._group[row] for row in order])
