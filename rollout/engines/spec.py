"""What an engine is built from; it travels to the process that samples."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from rollout.engines.base import Engine
from rollout.engines.cache_size import CallSize
from rollout.engines.cuda_graphs import CudaGraphs
from rollout.engines.decoder import has_decoder
from rollout.engines.embedded import TorchEngine
from rollout.engines.precision import cast_weights, set_tf32
from rollout.engines.probe import check_decoding
from rollout.engines.vllm import VllmEngine
from rollout.engines.vllm_settings import VllmSettings


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
        cache_bytes: Most memory for the KV cache of the embedded engine, and for states where layers keep
            some; None: no bound.
        calls: Sizes of the calls to come, for which the embedded engine captures decode steps.
        prompt_tokens: Longest prompt of those calls, in tokens.
        tf32: On a GPU, compute float32 matrix products in TF32.
        vllm: Sample with vLLM, made with these settings; None: with the embedded engine.
    """

    model: torch.nn.Module
    stop_ids: tuple[int, ...]
    pad_id: int
    dtype: torch.dtype
    device: str
    threads: int
    max_rows: int | None
    cuda_graphs: bool
    cache_bytes: int | None = None
    calls: tuple[CallSize, ...] = ()
    prompt_tokens: int = 0
    tf32: bool = False
    vllm: VllmSettings | None = None

    @property
    def sleeps(self) -> bool:
        """Whether the engine gives memory back in `sleep`."""
        return self.vllm is not None and self.vllm.sleep

    def build(self) -> Engine:
        """Make an engine with its own copy of the model.

        Raises:
            VllmError: vLLM is not installed, or cannot run this model.
            DecodingError: The embedded engine cannot sample from this model.
            CacheError: `cache_bytes` does not hold one sample.
        """
        set_tf32(self.tf32)
        model = copy.deepcopy(self.model)
        cast_weights(model, self.dtype)
        if self.vllm is not None:
            return VllmEngine(
                model, stop_ids=self.stop_ids, settings=self.vllm, threads=self.threads, device=self.device
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
            cache_bytes=self.cache_bytes,
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            make_capture=CudaGraphs if self.cuda_graphs and self.device != "cpu" else None,
        )
