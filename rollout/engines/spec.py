"""What an engine is built from; it travels to the process that samples."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from rollout.engines.base import Engine
from rollout.engines.cuda_graphs import CudaGraphs
from rollout.engines.decoder import has_decoder
from rollout.engines.embedded import TorchEngine
from rollout.engines.precision import cast_weights
from rollout.engines.probe import check_decoding
from rollout.engines.vllm import VllmEngine, VllmLimits


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """Everything an engine needs.

    Attributes:
        model: The policy. Each engine samples from a copy of its own, so this one may be trained meanwhile.
        stop_ids: Tokens that end a completion.
        pad_id: Token that pads prompts; masked out.
        dtype: Precision of the engine's copy, as of a model loaded in it.
        device: "cpu" or "cuda", where the copy lives.
        threads: CPU threads while sampling.
        max_rows: Most completions the embedded engine samples at the same time; None: all of a batch.
        cuda_graphs: On a GPU, let the embedded engine replay decode steps as CUDA graphs.
        vllm: Sample with vLLM, within these sizes; None: with the embedded engine.
    """

    model: torch.nn.Module
    stop_ids: tuple[int, ...]
    pad_id: int
    dtype: torch.dtype
    device: str
    threads: int
    max_rows: int | None
    cuda_graphs: bool
    vllm: VllmLimits | None = None

    def build(self) -> Engine:
        """Make an engine with its own copy of the model.

        Raises:
            VllmError: vLLM is not installed, or cannot run this model.
            DecodingError: The embedded engine cannot sample from this model.
        """
        model = copy.deepcopy(self.model)
        cast_weights(model, self.dtype)
        if self.vllm is not None:
            return VllmEngine(
                model, stop_ids=self.stop_ids, limits=self.vllm, threads=self.threads, device=self.device
            )
        model.to(device=self.device)
        if not has_decoder(model):  # the written-out families are tested
            check_decoding(model, pad_id=self.pad_id)
        return TorchEngine(
            model,
            stop_ids=self.stop_ids,
            pad_id=self.pad_id,
            threads=self.threads,
            max_rows=self.max_rows,
            make_capture=CudaGraphs if self.cuda_graphs and self.device != "cpu" else None,
        )
