"""Rows that are read by a `Decoder`; the prompt of a group is stored once for all its samples.

Shapes: P requests, B rows, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from rollout.engines.cache import Buffers, RowLayer, Window
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
            model: The causal LM.
            decoder: Its prefill and decode step, with tables for all positions.
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
        texts, owner_B = self._texts(requests), self._owners(requests)
        read_in = _read_in(requests, texts.position_PL)
        row_of = {reader: row for row, reader in enumerate(dict.fromkeys(read_in))}
        rows, length = torch.tensor(list(row_of), device=self.device), texts.ids_PL.shape[1]
        ends = [
            length - len(requests[reader].tokens) + len(request.tokens)
            for request, reader in zip(requests, read_in, strict=True)
        ]
        last = [row_of[reader] * length + end - 1 for reader, end in zip(read_in, ends, strict=True)]
        logits_PV, states = self._decoder.prefill(
            texts.ids_PL[rows],
            texts.position_PL[rows],
            self._seen(texts.ids_PL[rows], texts.mask_PL[rows]),
            torch.tensor(last, device=self.device),
        )
        for layer, (keys, values) in zip(self._layers, states, strict=True):
            layer.reserve(keys, values)
        group_of = dict(zip(self._number, self._group, strict=True))
        new: dict[int, StoredPrompt] = {}
        for request, reader, end in zip(requests, read_in, ends, strict=True):
            if request.group not in group_of and request.group not in new:
                at = StoredPrompt(row_of[reader], end - len(request.sampled), len(request.ids))
                new[request.group] = at
        group_of |= zip(new, self._prefix.put(states, list(new.values())), strict=True)
        if longest := max(len(request.sampled) for request in requests):
            row_B = torch.tensor([row_of[reader] for reader in read_in], device=self.device)[owner_B]
            for layer, pair in zip(self._layers, states, strict=True):
                keys, values = (each[row_B, :, length - longest :] for each in pair)
                layer.put(keys, values, start=self._window.rows)
        self._number += [request.group for request in requests for _ in request.samples]
        self._group = self._prefix.assign([group_of[number] for number in self._number])
        self._add(requests, texts, owner_B)
        return logits_PV[owner_B]

    def _seen(self, ids_PL: torch.Tensor, mask_PL: torch.Tensor) -> torch.Tensor | None:
        """What each token of texts attends to [P, L, L]; None: all up to itself."""
        length, window = ids_PL.shape[1], self._line_window
        if window is None and bool(mask_PL.all()):
            return None
        until_LL = torch.ones((length, length), dtype=torch.bool, device=self.device).tril()
        seen_PLL = until_LL & (mask_PL != 0)[:, None]
        if window is not None:
            line_PL = window.line_numbers(ids_PL, mask_PL)
            seen_PLL &= line_PL[:, None] > line_PL[:, :, None] - window.lines
        return seen_PLL | torch.eye(length, dtype=torch.bool, device=self.device)  # padding sees itself

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


def _read_in(requests: Sequence[Request], position_PL: torch.Tensor) -> list[int]:
    """For each request, the one whose tokens begin with its own, so that both are read at once.

    Requests sorted by their tokens are followed by those that they begin. A preempted one is read by itself.

    Args:
        requests: The requests.
        position_PL: Of the tokens of each, padded on the left; they may follow from later tokens.
    """
    order = sorted(range(len(requests)), key=lambda place: requests[place].tokens)
    found = list(range(len(requests)))
    for place, after in reversed(list(itertools.pairwise(order))):
        tokens, longer = requests[place].tokens, requests[after].tokens
        if longer[: len(tokens)] != tokens or requests[place].sampled:
            continue
        at = position_PL.shape[1] - len(longer)
        if torch.equal(position_PL[after, at : at + len(tokens)], position_PL[place, -len(tokens) :]):
            found[place] = found[after]
    return found
