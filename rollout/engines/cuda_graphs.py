"""Decode steps captured once per size and replayed as CUDA graphs.

On a GPU, a decode step of a small model is hundreds of kernels, each of which takes less time than its launch.
A CUDA graph launches all of them at once, but reads and writes the same memory every time. So sizes are rounded
up to a few, the inputs of a step are copied to where its graph reads them, and surplus rows, columns and groups
are masked or written where nothing reads.

In: the inputs of `Decoder.decode_step`. Out: the same logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from rollout.engines.cache import RowLayer, Window, round_up
from rollout.engines.decoder import Decoder
from rollout.engines.prefix import Prefix

Step = Callable[[], None]
Capture = Callable[[Step], Step]
"""Captures a step, which may run any number of times to the same effect; returns what replays it."""

_MAX_GRAPHS = 128
_LEAST_ROWS, _LEAST_COLUMNS = 8, 64


class CudaGraphs:
    """Captures steps as CUDA graphs; those of one instance share the memory of intermediate results."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step) -> Step:
        """Run a step to warm up, then capture it.

        Raises:
            RuntimeError: It cannot be captured.
        """
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            step()
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        capture = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        try:
            with capture:
                step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError(
                f"a decode step could not be captured as a CUDA graph ({error}); to sample without, set "
                "rollout.cuda_graphs to false"
            ) from error
        return graph.replay


class DecodeGraphs:
    """Captured decode steps of one decoder, by size."""

    def __init__(self, decoder: Decoder, make_capture: Callable[[], Capture] = CudaGraphs) -> None:
        """Capture nothing yet.

        Args:
            decoder: The decoder.
            make_capture: Makes what captures steps; called again after each `clear`.
        """
        self._decoder = decoder
        self._make_capture = make_capture
        self._capture: Capture | None = None
        self._logits: torch.Tensor | None = None  # of the last step, shared by all graphs
        self._steps: dict[StepSizes, _FixedStep] = {}

    def reserve(self, rows: int, *, new_tables: bool = False) -> None:
        """Make room for the logits of this many rows; all graphs are dropped if what they read moves."""
        if new_tables or self._logits is None or len(self._logits) < rows:
            self.clear()
        if self._logits is None or len(self._logits) < rows:
            self._logits = None
            self._logits = torch.zeros(rows, self._decoder.vocabulary, device=self._decoder.device)

    def clear(self) -> None:
        """Drop all graphs, because the memory that they read or write is about to move."""
        self._steps.clear()
        self._capture = None

    def decode_step(
        self,
        token_B: torch.Tensor,
        position_B: torch.Tensor,
        first_B: torch.Tensor,
        prompt_seen_B: torch.Tensor | None,
        *,
        window: Window,
        layers: Sequence[RowLayer],
        prefix: Prefix,
    ) -> torch.Tensor:
        """Read one token per row.

        Args:
            token_B: The tokens.
            position_B: Their positions.
            first_B: First column that each row attends to.
            prompt_seen_B: See `Decoder.decode_step`.
            window: Rows and columns in use.
            layers: The KV cache of the new tokens.
            prefix: The KV cache of the prompts.

        Returns:
            Logits [B, V] of the next token, in float32; the next call overwrites them.
        """
        sizes = self.sizes(window, prefix)
        logits = self._logits
        assert logits is not None
        step = self._steps.pop(sizes, None) or _FixedStep(self._decoder, sizes, layers, prefix, logits)
        if len(self._steps) >= _MAX_GRAPHS:
            del self._steps[next(iter(self._steps))]  # the least recently used one
        self._steps[sizes] = step
        step.put(token_B, position_B, first_B, prompt_seen_B, window.end, prefix)
        if step.replay is None:  # capturing runs the step, so its inputs must be in place
            self._capture = self._capture or self._make_capture()
            step.replay = self._capture(step.run)
        step.replay()
        return logits[: window.rows]

    @staticmethod
    def sizes(window: Window, prefix: Prefix) -> StepSizes:
        """The sizes of the graph for the rows and columns in use."""
        rows = round_up(max(window.rows, _LEAST_ROWS), window.rows_of(window.capacity))
        columns = round_up(max(window.end + 1, _LEAST_COLUMNS), window.capacity)
        return StepSizes(
            rows=rows,
            columns=window.capacity if window.can_grow else columns,  # the capacity itself is one of few
            groups=min(rows, prefix.slots),
            memory=(window.capacity, prefix.start, prefix.samples, prefix.length),
        )


class StepSizes(NamedTuple):
    """The sizes that a step is captured for; those of the memory determine where it reads."""

    rows: int
    columns: int
    groups: int
    memory: tuple[int, ...]


class _FixedStep:
    """A decode step with fixed sizes and memory.

    Attributes:
        replay: Replays the step once it is captured.
    """

    def __init__(
        self,
        decoder: Decoder,
        sizes: StepSizes,
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
        self._prompt_seen_B = torch.zeros_like(self._token_B) if decoder.has_window else None
        self._column_1 = torch.zeros(1, dtype=torch.long, device=device)
        self._columns = torch.arange(sizes.columns, device=device)
        self._layers = [_FixedLayer(layer, sizes.rows, sizes.columns, self._column_1) for layer in layers]
        self._prompts = prefix.make_fixed_grid(rows=sizes.rows, groups=sizes.groups)
        self._version: int | None = None  # of the prefix that is in the grid

    def put(
        self,
        token_B: torch.Tensor,
        position_B: torch.Tensor,
        first_B: torch.Tensor,
        prompt_seen_B: torch.Tensor | None,
        column: int,
        prefix: Prefix,
    ) -> None:
        """Copy the inputs to where the step reads them."""
        rows = len(token_B)
        self._token_B[:rows] = token_B
        self._position_B[:rows] = position_B
        self._first_B[:rows] = first_B
        if self._prompt_seen_B is not None and prompt_seen_B is not None:
            self._prompt_seen_B[:rows] = prompt_seen_B
        self._column_1.fill_(column)
        if self._version != prefix.version:
            prefix.fill(self._prompts)
            self._version = prefix.version

    def run(self) -> None:
        """Run the step."""
        mask_BS = (self._columns >= self._first_B[:, None]) & (self._columns <= self._column_1)
        self._logits_BV.copy_(
            self._decoder.decode_step(
                self._token_B, self._position_B, mask_BS, self._layers, self._prompts, self._prompt_seen_B
            )
        )


class _FixedLayer:
    """The first rows and columns of a layer's buffers; a tensor holds the column of the new tokens."""

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
