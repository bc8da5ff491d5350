"""What a vLLM engine is made with: sizes, memory, sleep mode and further arguments; all of it without vLLM.

In: the `rollout` section, as `rl/build.py` reads it. Out: `VllmSettings` for `vllm.py`, or a refusal of a KV
cache that is too small.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from rollout.engines.cache_size import CacheError, CallSize, cache_bytes
from rollout.engines.states import keeps_states

MIN_TEMPERATURE = 0.01  # vLLM raises a lower one to this, unless it is 0
_BLOCK = 128  # tokens; a multiple of every block size that vLLM uses for ordinary attention


class VllmError(ValueError):
    """vLLM is not installed, or cannot run the model as asked."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """Sizes, memory and arguments of a vLLM engine.

    Attributes:
        max_rows: Most completions sampled at the same time; others wait.
        max_tokens: Longest prompt plus completion, in tokens.
        cache_rows: Completions of `cache_tokens` that the KV cache holds if nothing else bounds it; None:
            `max_rows`. When it is full, vLLM preempts rows and computes their keys and values again.
        cache_tokens: Prompt plus completion of one of them, in tokens; None: `max_tokens`.
        gpu_memory_utilization: Share of the device's memory to take, weights included; None: a KV cache of
            `cache_bytes`.
        kv_cache_bytes: Most bytes of the KV cache, on each of its devices; None: no other bound.
        sleep: Give memory back between `sleep` and the next call; only on a GPU.
        arguments: Further engine arguments, by vLLM's names.
    """

    max_rows: int
    max_tokens: int
    cache_rows: int | None = None
    cache_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_bytes: int | None = None
    sleep: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_devices(self) -> int:
        """Devices that the model is split over."""
        names = ("tensor_parallel_size", "pipeline_parallel_size")
        return math.prod(int(self.arguments.get(name, 1)) for name in names)

    def cache_bytes(self, model: torch.nn.Module, dtype: torch.dtype) -> int:
        """Size of the KV cache on each device, in bytes; 0 if vLLM has to find it.

        It does with `gpu_memory_utilization`, and where layers keep something else than keys and values.

        Args:
            model: The causal LM.
            dtype: Precision of the engine's weights.
        """
        if self.gpu_memory_utilization is not None:
            return 0
        if keeps_states(model):
            return self.kv_cache_bytes or 0
        rows = self._bytes(model, dtype, self.cache_rows or self.max_rows, self.cache_tokens or self.max_tokens)
        needed = max(rows, self._bytes(model, dtype, 1, self.max_tokens))
        return needed if self.kv_cache_bytes is None else min(needed, self.kv_cache_bytes)

    def check_cache(self, model: torch.nn.Module, dtype: torch.dtype) -> None:
        """Refuse a KV cache that cannot hold one sequence; vLLM could never finish it.

        Args:
            model: The causal LM.
            dtype: Precision of the engine's weights.

        Raises:
            CacheError: Names the sizes and what to change.
        """
        if self.kv_cache_bytes is None or keeps_states(model):
            return
        needed = self._bytes(model, dtype, 1, self.max_tokens)
        if self.kv_cache_bytes < needed:
            least = math.ceil(needed / 2**30 * 1000) / 1000
            raise CacheError(
                f"rollout.kv_cache_gib is {self.kv_cache_bytes / 2**30:.3g}, but one prompt and completion of "
                f"{self.max_tokens} tokens take {least:g}; raise it to that, or lower "
                "rollout.max_prompt_tokens or max_new_tokens"
            )

    def _bytes(self, model: torch.nn.Module, dtype: torch.dtype, rows: int, tokens: int) -> int:
        in_blocks = math.ceil(tokens / _BLOCK) * _BLOCK
        calls = [CallSize(rows + 1, 1, in_blocks)]  # vLLM reserves a block
        size = cache_bytes(model, calls, prompt_tokens=0, max_rows=rows + 1, dtype=self._cache_dtype(dtype))
        return math.ceil(size / self.num_devices)

    def _cache_dtype(self, dtype: torch.dtype) -> torch.dtype:
        named = str(self.arguments.get("kv_cache_dtype", "auto"))
        if named.startswith(("fp8", "int8")):
            return torch.int8
        return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(named, dtype)


def check_installed() -> None:
    """Refuse to go on without vLLM.

    Raises:
        VllmError: Says how to install it.
    """
    if importlib.util.find_spec("vllm") is None:
        raise VllmError(
            "vLLM is not installed; install it (GPU: pip install '.[vllm]'; CPU: make install-vllm, and run "
            "with .venv-vllm/bin/python) or set rollout.engine to 'torch'"
        )
