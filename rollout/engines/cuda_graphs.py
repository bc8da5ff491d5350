"""A decoding step recorded once for its sizes, and replayed.

On a GPU a step of a small model is hundreds of kernels that take less time than their launches. A recorded step
(a CUDA graph) launches them all at once, but reads and writes the same memory every time. So sizes are rounded
up to a few, what a step is given is copied to where its record reads it, and rows, columns and groups that are
there for their number alone are masked, or written where nobody looks.

In: what `Decoder.step` gets. Out: the same logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from rollout.engines.cache import Prefix, RowLayer, Window
from rollout.engines.decoder import Decoder

Step = Callable[[], None]
Record = Callable[[Step], Step]
"""Takes a step that has the same effect however often it is taken; returns what takes it again."""

_MOST_RECORDS = 128
_LEAST_COLUMNS = 64


class CudaGraphs:
    """Records steps as CUDA graphs; those of one recorder share the memory they compute in."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step) -> Step:
        """Take a step to warm up, then record it.

        Raises:
            RuntimeError: It cannot be recorded.
        """
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            step()
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        try:
            with recording:
                step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError(
                f"a step of sampling could not be recorded as a CUDA graph ({error}); to sample without, set "
                "rollout.cuda_graphs to false"
            ) from error
        return graph.replay


class StepGraphs:
    """Recorded steps of one decoder, by their sizes."""

    def __init__(self, decoder: Decoder, make_recorder: Callable[[], Record] = CudaGraphs) -> None:
        """Nothing is recorded before it is needed.

        Args:
            decoder: Whose steps.
            make_recorder: Makes what records steps; asked for another one after each `clear`.
        """
        self._decoder = decoder
        self._make_recorder = make_recorder
        self._record: Record | None = None
        self._logits: torch.Tensor | None = None  # of the last step, whichever it was
        self._steps: dict[_Sizes, _FixedStep] = {}

    def clear(self) -> None:
        """Forget all records: what they read or write is about to be elsewhere."""
        self._steps.clear()
        self._record = None

    def step(
        self,
        token_B: torch.Tensor,
        position_B: torch.Tensor,
        first_B: torch.Tensor,
        *,
        window: Window,
        layers: Sequence[RowLayer],
        prefix: Prefix,
    ) -> torch.Tensor:
        """Read one token a row.

        Args:
            token_B: The tokens.
            position_B: Their positions.
            first_B: The column each row is visible from.
            window: Which rows and columns are in use.
            layers: Their keys and values, memory in place.
            prefix: The prompts.

        Returns:
            Logits [B, V] of the next token, in float32; overwritten by the next call.
        """
        sizes = _Sizes(
            rows=_round_up(window.rows, window.slots),
            columns=_round_up(max(window.end + 1, _LEAST_COLUMNS), window.capacity),
            groups=_round_up(prefix.groups, prefix.slots),
            buffers=(window.slots, window.capacity, prefix.slots, prefix.samples, prefix.length),
        )
        logits = self._place_for_logits(window.slots, token_B.device)
        step = self._steps.pop(sizes, None) or _FixedStep(self._decoder, sizes, layers, prefix, logits)
        if len(self._steps) >= _MOST_RECORDS:
            del self._steps[next(iter(self._steps))]  # the one that was not needed for longest
        self._steps[sizes] = step
        step.put(token_B, position_B, first_B, window.end, prefix)
        if step.replay is None:  # recording takes the step, so what it is given must be in place
            self._record = self._record or self._make_recorder()
            step.replay = self._record(step.run)
        step.replay()
        return logits[: window.rows]

    def _place_for_logits(self, rows: int, device: torch.device) -> torch.Tensor:
        if self._logits is None or len(self._logits) < rows:
            self.clear()
            self._logits = torch.zeros(rows, self._decoder.vocabulary, device=device)
        return self._logits


class _Sizes(NamedTuple):
    """What a step is recorded for; sizes of the buffers say where things are in them."""

    rows: int
    columns: int
    groups: int
    buffers: tuple[int, ...]


class _FixedStep:
    """A step whose sizes and memory stay.

    Attributes:
        replay: What takes the step, once it is recorded.
    """

    def __init__(
        self,
        decoder: Decoder,
        sizes: _Sizes,
        layers: Sequence[RowLayer],
        prefix: Prefix,
        logits: torch.Tensor,
    ) -> None:
        device = logits.device
        self.replay: Step | None = None
        self._decoder = decoder
        self._logits_BV = logits[: sizes.rows]
        self._token_B = torch.zeros(sizes.rows, dtype=torch.long, device=device)
        self._position_B = torch.zeros_like(self._token_B)
        self._first_B = torch.zeros_like(self._token_B)
        self._column_1 = torch.zeros(1, dtype=torch.long, device=device)
        self._columns = torch.arange(sizes.columns, device=device)
        self._layers = [_FixedLayer(layer, sizes.rows, sizes.columns, self._column_1) for layer in layers]
        self._prompts = prefix.make_fixed_grid(rows=sizes.rows, groups=sizes.groups)
        self._version: int | None = None  # of the prefix that the prompts are filled from

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
        if self._version != prefix.version:
            prefix.fill(self._prompts)
            self._version = prefix.version

    def run(self) -> None:
        """Take the step."""
        mask_BS = (self._columns >= self._first_B[:, None]) & (self._columns <= self._column_1)
        self._logits_BV.copy_(
            self._decoder.step(self._token_B, self._position_B, mask_BS, self._layers, self._prompts)
        )


class _FixedLayer:
    """The first rows and columns of a layer's buffers; new tokens go to the column that a tensor names."""

    def __init__(self, layer: RowLayer, rows: int, columns: int, column_1: torch.Tensor) -> None:
        assert layer.keys is not None and layer.values is not None
        self._keys, self._values = layer.keys[:rows], layer.values[:rows]
        self._used = [tensor.flatten(0, 1)[:, :columns] for tensor in (self._keys, self._values)]
        self._column_1 = column_1

    def append(self, keys_BKE: torch.Tensor, values_BKE: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `StepLayer.append`."""
        self._keys.index_copy_(2, self._column_1, keys_BKE[:, :, None])
        self._values.index_copy_(2, self._column_1, values_BKE[:, :, None])
        return self._used[0], self._used[1]


def _round_up(number: int, most: int) -> int:
    """The next power of two, or what lies half-way to it, and `most` at most."""
    power = 1 << max(number - 1, 0).bit_length()
    between = power // 4 * 3
    return min(between if between >= number else power, most)
