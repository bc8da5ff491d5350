"""Rows that are read by the library's forward; each has its own copy of its prompt.

Shapes: P requests, B rows, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from rollout.engines.cache import Buffers, RowLayer, Window
from rollout.engines.cache_size import CachePlan
from rollout.engines.rows import Request, WindowRows
from rollout.engines.states import StateLayer, cache_argument, keeps_states, make_row_layers


class LibraryRows(WindowRows):
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
        self._cache_name = cache_argument(model)
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
        texts, owner_B = self._texts(requests), self._owners(requests)
        config: Any = self.model.config
        cache: Any = DynamicCache(config=config.get_text_config())
        logits_PV = self._forward(texts.ids_PL, texts.mask_PL, texts.position_PL, cache)
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
        self._add(requests, texts, owner_B)
        return logits_PV[owner_B]

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

    def decode_step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See `Rows.decode_step`."""
        mask = self._mask() if self._layers or not self._is_own else None  # states have no columns to mask
        mask = None if mask is None else mask.long()
        logits = self._forward(token_B[:, None], mask, self._position_B[:, None], self._cache)
        self._advance(token_B)
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
