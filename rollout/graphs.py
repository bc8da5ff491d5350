"""A decoding step recorded once for its sizes, and replayed.

On a GPU a step of a small model is hundreds of kernels that take less time than their launches. A recorded step
(a CUDA graph) launches them all at once, but reads and writes the same memory every time. So sizes are rounded
up to a few, what a step is given is copied to where its record reads it, and rows, columns and groups that are
there for their number alone are masked, or written where nobody looks.

In: what `Decoder.step` gets. Out: the same logits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from rollout.cache import Prefix, PromptGrid, RowLayer, Window
from rollout.decoder import Decoder

Step = Callable[[], torch.Tensor]
Record = Callable[[Step], Step]

_LEAST_COLUMNS = 64

_log = logging.getLogger(__name__)


def record_cuda_graph(step: Step) -> Step:
    """Run a step to warm up, record it, and return what replays it.

    Args:
        step: Has the same effect however often it runs. What it returns is overwritten by the next replay.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = step()

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    return replay


class StepGraphs:
    """Recorded steps of one decoder, by their sizes."""

    def __init__(self, decoder: Decoder, record: Record = record_cuda_graph) -> None:
        """Nothing is recorded before it is needed.

        Args:
            decoder: Whose steps.
            record: Turns a step into what replays it.
        """
        self._decoder = decoder
        self._record = record
        self._steps: dict[_Sizes, _FixedStep] = {}
        self._memory: tuple[int, int] | None = None  # where what was recorded lies
        self._works = True

    def step(
        self,
        token_B: torch.Tensor,
        position_B: torch.Tensor,
        first_B: torch.Tensor,
        *,
        window: Window,
        layers: Sequence[RowLayer],
        prefix: Prefix,
        generation: int,
    ) -> torch.Tensor:
        """Read one token a row.

        Args:
            token_B: The tokens.
            position_B: Their positions.
            first_B: The column each row is visible from.
            window: Which rows and columns are in use.
            layers: Their keys and values, memory in place.
            prefix: The prompts.
            generation: Of the memory that all of them are in.

        Returns:
            Logits [B, V] of the next token, in float32; overwritten by the next call.
        """
        memory = (generation, self._decoder.reserved)
        if memory != self._memory:  # nothing recorded is where it was
            self._steps.clear()
            self._memory = memory
        sizes = _Sizes(
            rows=_round_up(window.rows, window.slots),
            columns=_round_up(max(window.end + 1, _LEAST_COLUMNS), window.capacity),
            groups=_round_up(prefix.groups, prefix.slots),
            samples=_round_up(prefix.grid.samples, window.slots),
            slots=(window.slots, window.capacity, prefix.slots, prefix.length),
        )
        if sizes not in self._steps:
            self._steps[sizes] = _FixedStep(self._decoder, sizes, layers, prefix)
        step = self._steps[sizes]
        step.put(token_B, position_B, first_B, window.end, prefix)
        if step.replay is None:  # recording takes the step, so what it is given must be in place
            step.replay = self._recorded(step.run)
        return step.replay()[: window.rows]

    def _recorded(self, step: Step) -> Step:
        if not self._works:
            return step
        try:
            return self._record(step)
        except RuntimeError as error:
            self._works = False
            _log.warning("sampling goes on without CUDA graphs, since recording one failed: %s", error)
            return step


class _Sizes(NamedTuple):
    """What a step is recorded for; `slots` are the sizes of the buffers, which say where things are in them."""

    rows: int
    columns: int
    groups: int
    samples: int
    slots: tuple[int, int, int, int]


class _FixedStep:
    """A step whose sizes and memory stay.

    Attributes:
        replay: What takes the step, once it is recorded.
    """

    def __init__(self, decoder: Decoder, sizes: _Sizes, layers: Sequence[RowLayer], prefix: Prefix) -> None:
        device = prefix.keys[0].device
        self.replay: Step | None = None
        self._decoder = decoder
        self._token_B = torch.zeros(sizes.rows, dtype=torch.long, device=device)
        self._position_B = torch.zeros_like(self._token_B)
        self._first_B = torch.zeros_like(self._token_B)
        self._column_1 = torch.zeros(1, dtype=torch.long, device=device)
        self._columns = torch.arange(sizes.columns, device=device)
        self._layers = [_FixedLayer(layer, sizes.rows, sizes.columns, self._column_1) for layer in layers]
        self._prompts = prefix.make_fixed_grid(rows=sizes.rows, groups=sizes.groups, samples=sizes.samples)
        self._filled_from: PromptGrid | None = None

    def put(
        self,
        token_B: torch.Tensor,
        position_B: torch.Tensor,
        first_B: torch.Tensor,
        column: int,
        prefix: Prefix,
    ) -> None:
        """Put in place what the step reads."""
        rows = len(token_B)
        self._token_B[:rows] = token_B
        self._position_B[:rows] = position_B
        self._first_B[:rows] = first_B
        self._column_1.fill_(column)
        if self._filled_from is not prefix.grid:
            prefix.fill(self._prompts)
            self._filled_from = prefix.grid

    def run(self) -> torch.Tensor:
        """The step itself."""
        mask_BS = (self._columns >= self._first_B[:, None]) & (self._columns <= self._column_1)
        return self._decoder.step(self._token_B, self._position_B, mask_BS, self._layers, self._prompts)


class _FixedLayer:
    """The first rows and columns of a layer's buffers; new tokens go to the column that a tensor names."""

    def __init__(self, layer: RowLayer, rows: int, columns: int, column_1: torch.Tensor) -> None:
        assert layer.keys is not None and layer.values is not None
        self._keys, self._values = layer.keys[:rows, :, :columns], layer.values[:rows, :, :columns]
        self._column_1 = column_1

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `StepLayer.update`."""
        self._keys.index_copy_(2, self._column_1, key_states)
        self._values.index_copy_(2, self._column_1, value_states)
        return self._keys, self._values


def _round_up(number: int, most: int) -> int:
    """The next power of two, or what lies half-way to it, and `most` at most."""
    power = 1 << max(number - 1, 0).bit_length()
    between = power // 4 * 3
    return min(between if between >= number else power, most)
