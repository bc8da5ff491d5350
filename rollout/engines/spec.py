"""What an engine is built from; it travels to the process that samples."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from peft import PeftModel

from rollout.engines.adapter import MergedAdapter, can_merge
from rollout.engines.base import Engine
from rollout.engines.cache_size import CallSize
from rollout.engines.cuda_graphs import CudaGraphs
from rollout.engines.decoder import has_decoder
from rollout.engines.embedded import TorchEngine
from rollout.engines.precision import copy_model, set_tf32
from rollout.engines.probe import check_decoding
from rollout.engines.vllm import VllmEngine
from rollout.engines.vllm_settings import VllmSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """Everything an engine needs.

    Attributes:
        model: The policy. It may be trained meanwhile: engines have their own copy of all that is.
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
        """Make an engine with a copy of the model.

        With an adapter, the embedded engine samples from a plain model instead, made from the base in `model`,
        which is moved to the engine's device: in the learner's process, both have one base between them.

        Raises:
            VllmError: vLLM is not installed, or cannot run this model.
            DecodingError: The embedded engine cannot sample from this model.
            CacheError: `cache_bytes` does not hold one sample.
        """
        set_tf32(self.tf32)
        if self.vllm is not None:
            model = copy_model(self.model, self.dtype, "cpu")
            return VllmEngine(
                model, stop_ids=self.stop_ids, settings=self.vllm, threads=self.threads, device=self.device
            )
        adapter = None
        if isinstance(self.model, PeftModel) and not can_merge(self.model):
            _log.warning(
                "the adapter cannot be merged into its base, so sampling takes the slower layers of PEFT; an "
                "adapter on linear layers alone, without biases, can be"
            )
        elif isinstance(self.model, PeftModel):
            if self.model.device.type != torch.device(self.device).type:
                self.model.to(self.device)
            adapter = MergedAdapter(self.model, dtype=self.dtype, device=self.device)
        model = copy_model(self.model, self.dtype, self.device) if adapter is None else adapter.model
        if not has_decoder(model):  # the written-out families are tested
            check_decoding(model, pad_id=self.pad_id)
        return TorchEngine(
            model,
            adapter=adapter,
            stop_ids=self.stop_ids,
            pad_id=self.pad_id,
            threads=self.threads,
            max_rows=self.max_rows,
            cache_bytes=self.cache_bytes,
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            make_capture=CudaGraphs if self.cuda_graphs and self.device != "cpu" else None,
        )
