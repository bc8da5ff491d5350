"""Rows that are read by a `Decoder`; the prompt of a group is stored once for all its samples.

Shapes: P requests, B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rollout.engines.cache import Buffers, RowLayer, Window, states
from rollout.engines.cache_size import CachePlan
from rollout.engines.cuda_graphs import DecodeGraphs
from rollout.engines.decoder import Decoder
from rollout.engines.prefix import Prefix, StoredPrompt
from rollout.engines.rows import Request, WindowRows


class DecoderRows(WindowRows):
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
        read = self._prefill(requests)
        for layer, (keys, values) in zip(self._layers, states(read.cache), strict=True):
            layer.reserve(keys, values)
        group_of = dict(zip(self._number, self._group, strict=True))
        width = max(len(request.tokens) for request in requests)
        new: dict[int, StoredPrompt] = {}
        for row, request in enumerate(requests):
            if request.group not in group_of and request.group not in new:
                new[request.group] = StoredPrompt(row, width - len(request.sampled), len(request.ids))
        group_of |= zip(new, self._prefix.put(read.cache, list(new.values())), strict=True)
        if longest := max(len(request.sampled) for request in requests):
            for layer, pair in zip(self._layers, states(read.cache), strict=True):
                keys, values = (states[read.owner_B, :, width - longest :] for states in pair)
                layer.put(keys, values, start=self._window.rows)
        self._number += [request.group for request in requests for _ in request.samples]
        self._group = self._prefix.assign([group_of[number] for number in self._number])
        self._add(requests, read.next_B, read.lines_BW)
        return read.logits_BV

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See `Rows.decode_step`."""
        if self._graphs is None:
            logits = self._decoder.decode_step(
                token_B, self._position_B, self._mask(), self._layers, self._prefix.grid, self._prompt_seen()
            )
        else:
            logits = self._graphs.decode_step(
                token_B,
                self._position_B,
                self._first_seen(),
                self._prompt_seen(),
                window=self._window,
                layers=self._layers,
                prefix=self._prefix,
            )
        self._advance(token_B)
        return logits

    def _prompt_seen(self) -> torch.Tensor | None:
        """The last tokens of its prompt that each row's next token attends to [B]; None: all."""
        if self._lines_BW is None:
            return None
        return self._lines_BW.sum(1) - (self._window.end - self._first_B)

    def _take(self, order: list[int], holes: list[int], movers: list[int]) -> None:
        super()._take(order, holes, movers)
        self._number = [self._number[row] for row in order]
        self._group = self._prefix.assign([self._group[row] for row in order])
