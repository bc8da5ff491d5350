"""vLLM as an engine: token ids and log-probabilities that vLLM samples from a causal LM of this process.

vLLM loads models from folders, so the model is saved to a temporary one and loaded from there once; trained
weights replace it in place. vLLM runs in this process, without a process of its own for its scheduler, so a
worker is the same with either engine. This is the only file that imports vLLM, and only when an engine is made.
"""

from __future__ import annotations

import importlib.util
import math
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.utils import logging

from rollout.engines.base import Weights, copy_weights
from rollout.engines.cache_size import CallSize, cache_bytes
from rollout.engines.states import keeps_states
from rollout.types import Completion, FinishReason, Prompt, Sampling

MIN_TEMPERATURE = 0.01  # vLLM raises a lower one to this, unless it is 0
_BLOCK = 128  # tokens; a multiple of every block size that vLLM uses for ordinary attention
_CPU_BLOCK = 32  # tokens; prompts are shared in whole blocks, and vLLM's default on a CPU is 128


class VllmError(ValueError):
    """vLLM is not installed, or cannot run the model as asked."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class VllmLimits:
    """Sizes that bound the memory of a vLLM engine.

    Attributes:
        max_rows: Most completions sampled at the same time; others wait.
        max_tokens: Longest prompt plus completion, in tokens.
    """

    max_rows: int
    max_tokens: int

    def cache_bytes(self, model: torch.nn.Module, dtype: torch.dtype) -> int:
        """Size of the KV cache in bytes; 0 if layers keep something else, and vLLM has to decide."""
        if keeps_states(model):
            return 0
        tokens = math.ceil(self.max_tokens / _BLOCK) * _BLOCK
        rows = self.max_rows + 1  # vLLM reserves a block
        return cache_bytes(model, [CallSize(rows, 1, tokens)], prompt_tokens=0, max_rows=rows, dtype=dtype)


class VllmEngine:
    """Samples with vLLM, in this process.

    The prefix cache serves the samples of one call and is emptied before the next one, so nothing remains of
    earlier weights or calls.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        stop_ids: Sequence[int],
        limits: VllmLimits,
        threads: int,
        device: str,
    ) -> None:
        """Save the model, load it into vLLM, keep its weights in host memory.

        Args:
            model: A causal LM on the CPU, in the precision to sample in, with or without a PEFT adapter. It is
                taken apart, so it must not be the trained copy.
            stop_ids: Tokens that end a completion.
            limits: Sizes that bound the memory.
            threads: CPU threads while sampling.
            device: "cpu" or "cuda".

        Raises:
            VllmError: vLLM is not installed, or cannot run this model on this device.
        """
        check_installed()
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # run the scheduler in this process
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        self.weight_version = 0
        self._stop_ids = list(stop_ids)
        self._limits = limits
        self._threads = threads
        self._weights = model.state_dict()  # vLLM fuses and repacks weights, so an update of some needs all
        self._adapter: Any = getattr(model, "peft_config", {}).get("default")
        self._lora: Any = None
        base: Any = model
        if self._adapter is not None:
            self._weights = {name: tensor for name, tensor in self._weights.items() if ".default." in name}
            base = base.unload()
        _check_known(base, device)
        try:
            self._llm, self._saved = self._load(base, device)
            if self._adapter is not None:
                self._swap_adapter(0)
            # What the kernels do not support, such as some head sizes, fails at the first token.
            self.generate([Prompt(ids=(0,), seeds=(0,))], Sampling(temperature=1.0, max_new_tokens=1))
        except (ValueError, RuntimeError, NotImplementedError) as error:
            if isinstance(error, VllmError):
                raise
            reason = " ".join(str(error).split())[:300]
            raise VllmError(f"vLLM cannot run {type(base).__name__} on {device}: {reason}") from error

    def _load(self, base: Any, device: str) -> tuple[Any, list[str]]:
        """Load a model without adapter into vLLM; returns it and the names of its weights in a file."""
        from vllm import LLM
        from vllm.config.lora import MaxLoRARanks

        dtype = next(base.parameters()).dtype
        options: dict[str, Any] = {}
        if device == "cpu":
            options |= {"enforce_eager": True, "block_size": _CPU_BLOCK}
        if size := self._limits.cache_bytes(base, dtype):
            # With a cache size, vLLM ignores the share of memory, but still refuses one that is not free.
            options |= {"kv_cache_memory_bytes": size, "gpu_memory_utilization": 0.01}
        if self._adapter is not None:
            ranks = [rank for rank in get_args(MaxLoRARanks) if rank >= self._adapter.r]
            if not ranks:
                raise VllmError(
                    f"policy.lora.r is {self._adapter.r}, vLLM allows {max(get_args(MaxLoRARanks))} at most"
                )
            options |= {"enable_lora": True, "max_lora_rank": min(ranks)}
        with TemporaryDirectory(prefix="stride-vllm-") as folder:
            saved = _save(base, Path(folder))
            if self._adapter is None and (unknown := sorted(set(saved) - set(self._weights))):
                raise VllmError(
                    f"{type(base).__name__} has other parameter names in a file ({unknown[0]}, ...) than in "
                    "memory, so trained weights cannot be passed on; set rollout.engine to 'torch'"
                )
            with self._guarded():
                llm = LLM(
                    folder,
                    skip_tokenizer_init=True,
                    generation_config="vllm",
                    dtype=str(dtype).removeprefix("torch."),
                    logprobs_mode="processed_logprobs",
                    enable_prefix_caching=True,
                    max_model_len=self._limits.max_tokens,
                    max_num_seqs=self._limits.max_rows,
                    use_tqdm_on_load=False,
                    **options,
                )
        return llm, saved

    def close(self) -> None:
        """Shut vLLM down. Its engines in one process share state, so only one can be used at a time."""
        self._llm.llm_engine.engine_core.shutdown()

    def load_weights(self, weights: Weights, version: int) -> None:
        """See `Engine.load_weights`. With an adapter, only the adapter has parameters."""
        copy_weights(weights, version, to=self._weights)
        if self._adapter is not None:
            self._swap_adapter(version)
        else:
            everything = ((name, self._weights[name]) for name in self._saved)
            with self._guarded():
                self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": everything})
                self._llm.apply_model(_repack_head)
        self.weight_version = version

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """See `Engine.generate`.

        Raises:
            ValueError: A prompt and its completion are longer than the limit, or vLLM does not support the
                temperature.
        """
        if not prompts:
            return []
        from vllm import SamplingParams, TokensPrompt

        longest = max(len(prompt.ids) for prompt in prompts) + sampling.max_new_tokens
        if longest > self._limits.max_tokens:
            raise ValueError(
                f"prompt and completion may take {longest} tokens, the engine is made for "
                f"{self._limits.max_tokens}"
            )
        if 0 < sampling.temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature is {sampling.temperature}, vLLM's lowest is {MIN_TEMPERATURE}, or 0")
        ids, params = [], []
        for prompt in prompts:
            limits = prompt.limits_within(sampling.max_new_tokens)
            for seed, limit in zip(prompt.seeds, limits, strict=True):
                ids.append(TokensPrompt(prompt_token_ids=list(prompt.ids)))
                params.append(
                    SamplingParams(
                        temperature=sampling.temperature,
                        top_p=sampling.top_p,
                        top_k=sampling.top_k or 0,
                        seed=seed % 2**63,  # vLLM's seeds are signed
                        max_tokens=limit,
                        stop_token_ids=self._stop_ids,
                        ignore_eos=True,  # the model's own end token may not be a stop token
                        logprobs=0,  # for the sampled token alone
                        detokenize=False,
                    )
                )
        with self._guarded():
            if not self._llm.reset_prefix_cache():
                raise RuntimeError("vLLM still holds requests of an interrupted call")
            outputs = self._llm.generate(ids, params, use_tqdm=False, lora_request=self._lora)
        completions = [self._completion(output.outputs[0]) for output in outputs]
        if not all(math.isfinite(sum(completion.logprobs)) for completion in completions):
            self._llm.collective_rpc(_clear_cache)  # later calls would read a NaN in it
        rows = iter(completions)
        return [[next(rows) for _ in prompt.seeds] for prompt in prompts]

    def sample_tokens(self, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
        """Sample as many tokens as asked for, without the seeds and log-probabilities of training.

        For benchmarks: this is what vLLM does fastest.

        Args:
            prompts: Token ids, one prompt for each sample.
            lengths: New tokens of each sample.
        """
        from vllm import SamplingParams, TokensPrompt

        ids = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        params = [
            SamplingParams(temperature=1.0, ignore_eos=True, detokenize=False, max_tokens=length)
            for length in lengths
        ]
        with self._guarded():
            self._llm.reset_prefix_cache()
            outputs = self._llm.generate(ids, params, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    def _completion(self, output: Any) -> Completion:
        return Completion(
            ids=tuple(output.token_ids),
            logprobs=tuple(
                step[token].logprob for step, token in zip(output.logprobs, output.token_ids, strict=True)
            ),
            finish_reason=FinishReason(output.finish_reason),
            weight_version=self.weight_version,
        )

    def _swap_adapter(self, version: int) -> None:
        """Replace vLLM's adapter with the current one."""
        from vllm.lora.request import LoRARequest

        name, number = f"version-{version}", version + 1  # 0 means no adapter
        with TemporaryDirectory(prefix="stride-vllm-") as folder, self._guarded():
            self._adapter.save_pretrained(folder)
            tensors = {key.replace(".default.", "."): tensor for key, tensor in self._weights.items()}
            save_file(tensors, Path(folder) / "adapter_model.safetensors")
            # Versions repeat with other weights, because each stage of a run starts at 0.
            self._llm.llm_engine.add_lora(LoRARequest(name, number, folder, load_inplace=True))
        self._lora = LoRARequest(name, number, folder)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let vLLM run, then restore the process state that it changes: threads, random generators."""
        set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
        python_state, numpy_state = random.getstate(), np.random.get_state()
        on_gpu = torch.cuda.is_available()
        set_num_threads(self._threads)
        try:
            with (
                torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []),
                # On a CPU, compilation costs more time than it saves, and needs a compiler.
                torch.compiler.set_stance("default" if on_gpu else "force_eager"),
            ):
                yield
        finally:
            torch.set_num_threads = set_num_threads  # on CPUs vLLM replaces it with a no-op
            set_num_threads(threads)
            random.setstate(python_state)
            np.random.set_state(numpy_state)


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


def _clear_cache(worker: Any) -> None:
    for cache in worker.model_runner.kv_caches:
        for tensor in cache if isinstance(cache, (list, tuple)) else [cache]:
            tensor.zero_()


def _repack_head(model: torch.nn.Module) -> None:
    """Repack, on a CPU, a head that is tied to the embedding: vLLM does not when it reloads weights."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def _check_known(model: torch.nn.Module, device: str) -> None:
    from vllm.model_executor.models import ModelRegistry
    from vllm.platforms import current_platform

    if current_platform.device_type != device:
        raise VllmError(
            f"the installed vLLM is for {current_platform.device_type!r}, but the engine runs on {device!r}; "
            "install the other one, or change device or rollout.gpus_per_actor"
        )
    if type(model).__name__ not in ModelRegistry.get_supported_archs():
        raise VllmError(f"vLLM does not know {type(model).__name__}; set rollout.engine to 'torch'")


def _save(model: Any, folder: Path) -> list[str]:
    """Write a model folder; returns the names of its tensors."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    names: list[str] = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names += file.keys()
    return names
