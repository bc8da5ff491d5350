"""The rows in an engine's batch: prompts are admitted, tokens are read, finished rows leave.

There are two kinds: `library_rows.py` uses the library's forward; `decoder_rows.py` uses the decode step of
`decoder.py`, and keeps the KV cache of a prompt once for all samples of its group. Here is what they share.

Shapes: P requests, B rows, L prompt positions (left-padded), S columns of the KV cache, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from rollout.engines.cache import RowLayer, Window, round_up
from rollout.line_llama import positions_of, window_of

_PREFILLED_AT_ONCE = 1 << 15  # tokens, padding included
_PREFILLED_AT_ONCE_ON_CPU = 1 << 9  # few enough for its cache (docs/LOG.md)


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


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Tokens to read, padded on the left.

    Attributes:
        ids_PL: The tokens.
        mask_PL: 1 for tokens, 0 for padding.
        position_PL: Their positions.
    """

    ids_PL: torch.Tensor
    mask_PL: torch.Tensor
    position_PL: torch.Tensor


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


class WindowRows:
    """State of each row that both kinds keep: its first column, its next position, its last lines."""

    def __init__(self, model: nn.Module, *, pad_id: int, window: Window) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self._positions, self._line_window = positions_of(model), window_of(model)
        self._pad_id = pad_id
        self._window = window
        self._layers: list[RowLayer] = []
        self._first: list[int] = []  # first column of each row
        self._first_B = torch.empty(0, dtype=torch.long, device=self.device)
        self._position_B = torch.empty(0, dtype=torch.long, device=self.device)
        self._lines_BW: torch.Tensor | None = None  # tokens of the last lines that each row sees

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
        most = _PREFILLED_AT_ONCE_ON_CPU if self.device.type == "cpu" else _PREFILLED_AT_ONCE
        part: list[Request] = []
        for request in requests:
            width = max(len(each.tokens) for each in (*part, request))
            if part and width * (len(part) + 1) > most:
                yield part
                part = []
            part.append(request)
        yield part

    def _admit(self, requests: Sequence[Request]) -> torch.Tensor:
        """Prefill requests together."""
        raise NotImplementedError

    def _texts(self, requests: Sequence[Request]) -> Texts:
        """What is prefilled for requests."""
        width = max(len(request.tokens) for request in requests)
        ids = torch.full((len(requests), width), self._pad_id)
        mask = torch.zeros((len(requests), width), dtype=torch.long)
        for p, request in enumerate(requests):
            ids[p, width - len(request.tokens) :] = torch.tensor(request.tokens)
            mask[p, width - len(request.tokens) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        return Texts(ids_PL=ids, mask_PL=mask, position_PL=self._positions.read(ids, mask))

    def _owners(self, requests: Sequence[Request]) -> torch.Tensor:
        """The request of each sample [B]."""
        owner = [p for p, request in enumerate(requests) for _ in request.samples]
        return torch.tensor(owner, dtype=torch.long, device=self.device)

    def _add(self, requests: Sequence[Request], texts: Texts, owner_B: torch.Tensor) -> None:
        """Add the samples of requests, which are those of `owner_B`, as rows."""
        samples = [request for request in requests for _ in request.samples]
        self._window.rows += len(samples)
        self._first += [self._window.end - self._num_columns(request) for request in samples]
        self._first_B = torch.tensor(self._first, device=self.device)
        self._begin()
        next_P = self._positions.after(texts.ids_PL[:, -1], texts.position_PL[:, -1])
        self._position_B = torch.cat([self._position_B, next_P[owner_B]])
        if self._line_window is not None:
            lines_BW = self._line_window.read(texts.ids_PL, texts.mask_PL)[owner_B]
            self._lines_BW = lines_BW if self._lines_BW is None else torch.cat([self._lines_BW, lines_BW])

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

    def _advance(self, token_B: torch.Tensor) -> None:
        self._window.end += 1
        self._position_B = self._positions.after(token_B, self._position_B)
        if self._line_window is not None and self._lines_BW is not None:
            self._lines_BW = self._line_window.after(token_B, self._lines_BW)

    def _first_seen(self) -> torch.Tensor:
        """The first column that each row's next token attends to [B]."""
        if self._lines_BW is None:
            return self._first_B
        return torch.maximum(self._first_B, self._window.end - self._lines_BW.sum(1))

    def _mask(self) -> torch.Tensor | None:
        """The columns that each row attends to [B, S], the next token's included; None where all see all."""
        if self._lines_BW is None and max(self._first) == self._window.begin:
            return None
        columns = torch.arange(self._window.begin, self._window.end + 1, device=self.device)
        return columns >= self._first_seen()[:, None]

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
        self._lines_BW = None if self._lines_BW is None else self._lines_BW[index]
        self._begin()

    def _begin(self) -> None:
        """Start the window at the first column of the oldest row."""
        if self._first:
            self._window.begin = min(self._first)
