"""vLLM as an engine: token ids and log-probabilities that vLLM samples from a causal LM of this process.

vLLM loads models from folders, so the model is saved to a temporary one and loaded from there once; trained
weights replace it in place, from wherever they are. vLLM runs in this process, without a process of its own for
its scheduler, so a worker is the same with either engine. This is the only file that imports vLLM, and only
when an engine is made or its arguments are checked.

In sleep mode (`VllmSettings.sleep`) the order of calls is::

    load_weights: wake "weights", reload -> generate: wake "kv_cache", sample ... -> sleep: discard both

With an adapter, the base weights wait in host memory meanwhile; without one, all weights come with the next
`load_weights`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Any, get_args

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.utils import logging

from rollout.engines.base import Weights, check_weights, copy_weights
from rollout.engines.vllm_settings import MIN_TEMPERATURE, VllmError, VllmSettings, check_installed
from rollout.temporary import temporary_folder
from rollout.types import Completion, FinishReason, Prompt, Sampling

_MEMORY_REMEDY = (
    "; change rollout.gpu_memory_utilization or rollout.kv_cache_gib, or lower rollout.max_rows, "
    "max_prompt_tokens or max_new_tokens"
)
_CPU_BLOCK = 32  # tokens; prompts are shared in whole blocks, and vLLM's default on a CPU is 128


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """A weight in a model folder.

    Attributes:
        trained: Name under which trained weights bring it; None: it does not change.
        like: Its shape and precision, without memory if it is trained, else the weight itself.
    """

    trained: str | None
    like: torch.Tensor


class VllmEngine:
    """Samples with vLLM, in this process.

    The prefix cache serves the samples of one call and is emptied before the next one, so nothing remains of
    earlier weights or calls. Without an adapter, each `load_weights` needs all trained weights.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        stop_ids: Sequence[int],
        settings: VllmSettings,
        threads: int,
        device: str,
    ) -> None:
        """Save the model and load it into vLLM.

        Args:
            model: A causal LM on the CPU, in the precision to sample in, with or without a PEFT adapter. It is
                taken apart, so it must not be the trained copy.
            stop_ids: Tokens that end a completion.
            settings: Sizes, memory and further arguments.
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
        self._settings = settings
        self._threads = threads
        self._asleep: set[str] = set()  # vLLM's tags of memory
        self._adapter: Any = getattr(model, "peft_config", {}).get("default")
        self._lora: Any = None
        self._lora_weights: Weights = {}
        self._saved: dict[str, _Saved] = {}
        base: Any = model
        if self._adapter is not None:
            self._lora_weights = {
                name: tensor for name, tensor in base.state_dict().items() if ".default." in name
            }
            base = base.unload()
        _check_known(base, device)
        try:
            self._llm = self._load(base, device)
            if self._adapter is not None:
                self._swap_adapter(0)
            # What the kernels do not support, such as some head sizes, fails at the first token.
            self.generate([Prompt(ids=(0,), seeds=(0,))], Sampling(temperature=1.0, max_new_tokens=1))
        except (ValueError, TypeError, AssertionError, RuntimeError) as error:
            if isinstance(error, VllmError):
                raise
            reason, _, _ = str(error).partition(" [type=")  # pydantic adds all arguments
            remedy = _MEMORY_REMEDY if "memory" in reason.lower() else ""
            raise VllmError(
                f"vLLM cannot run {type(base).__name__} on {device}: "
                f"{shorten(reason, 300, placeholder=' ...').rstrip('.')}{remedy}"
            ) from error

    def _load(self, base: Any, device: str) -> Any:
        """Load a model without adapter into vLLM; returns it, and notes which weights it has."""
        from vllm import LLM
        from vllm.config.lora import MaxLoRARanks

        dtype = next(base.parameters()).dtype
        options: dict[str, Any] = {}
        if device == "cpu":
            options |= {"enforce_eager": True, "block_size": _CPU_BLOCK}
            # A prompt cut in two has its first draw twice, and a seed's generator cannot go back on a CPU.
            options["enable_chunked_prefill"] = False
        if self._settings.gpu_memory_utilization is not None:
            options["gpu_memory_utilization"] = self._settings.gpu_memory_utilization
        elif size := self._settings.cache_bytes(base, dtype):
            # With a cache size, vLLM ignores the share of memory, but still refuses one that is not free.
            options |= {"kv_cache_memory_bytes": size, "gpu_memory_utilization": 0.01}
        if self._adapter is not None:
            ranks = [rank for rank in get_args(MaxLoRARanks) if rank >= self._adapter.r]
            if not ranks:
                raise VllmError(
                    f"policy.lora.r is {self._adapter.r}, vLLM allows {max(get_args(MaxLoRARanks))} at most"
                )
            options |= {"enable_lora": True, "max_lora_rank": min(ranks)}
        with temporary_folder("vllm-") as folder:
            saved = _save(base, folder)
            if self._adapter is None:
                self._saved = _sources(base, saved)
            with self._guarded():
                return LLM(
                    str(folder),
                    skip_tokenizer_init=True,
                    generation_config="vllm",
                    dtype=str(dtype).removeprefix("torch."),
                    logprobs_mode="processed_logprobs",
                    enable_prefix_caching=True,
                    enable_sleep_mode=self._settings.sleep,
                    max_model_len=self._settings.max_tokens,
                    max_num_seqs=self._settings.max_rows,
                    use_tqdm_on_load=False,
                    **{**options, **self._settings.arguments},
                )

    def close(self) -> None:
        """Shut vLLM down. Its engines in one process share state, so only one can be used at a time."""
        self._llm.llm_engine.engine_core.shutdown()

    def load_weights(self, weights: Weights, version: int) -> None:
        """Take all trained weights, or, with an adapter, weights of it; see `Engine.load_weights`.

        vLLM fuses and repacks weights, so it takes a part of a model no better than the whole. The tensors may
        be on any device; they are copied one after the other, and none is kept.

        Raises:
            ValueError: A name or shape does not fit, or one is missing. Nothing has changed then.
        """
        if self._adapter is not None:
            copy_weights(weights, version, to=self._lora_weights)
            self._wake("weights")
            self._swap_adapter(version)
        else:
            layout = {one.trained: one.like for one in self._saved.values() if one.trained}
            check_weights(weights, version, to=layout)
            if missing := sorted(layout.keys() - weights.keys()):
                raise ValueError(f"weights version {version} lack {missing[0]}; vLLM takes all of them at once")
            self._wake("weights")
            self._reload(weights)
        self.weight_version = version

    def _reload(self, weights: Weights) -> None:
        tensors = (
            (name, weights[one.trained].to(one.like.dtype) if one.trained else one.like)
            for name, one in self._saved.items()
        )
        with self._guarded():
            if self._settings.num_devices == 1:
                self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": tensors})
            else:  # its workers are other processes
                with temporary_folder("vllm-") as folder:
                    on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors}
                    save_file(on_cpu, folder / "model.safetensors")
                    self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
            self._llm.apply_model(_repack_head)

    def sleep(self) -> bool:
        """See `Engine.sleep`. In sleep mode it frees the KV cache and the weights, else nothing."""
        if not self._settings.sleep:
            return False
        if "weights" not in self._asleep:
            # Level 1 keeps the weights in host memory, level 2 discards them.
            self._llm.sleep(level=2 if self._adapter is None else 1)
            self._asleep = {"weights", "kv_cache"}
        return self._adapter is None

    def _wake(self, tag: str) -> None:
        if tag in self._asleep:
            self._llm.wake_up(tags=[tag])
            self._asleep.remove(tag)

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
        if longest > self._settings.max_tokens:
            raise ValueError(
                f"prompt and completion may take {longest} tokens, the engine is made for "
                f"{self._settings.max_tokens}"
            )
        if 0 < sampling.temperature < MIN_TEMPERATURE:
            raise ValueError(f"temperature is {sampling.temperature}, vLLM's lowest is {MIN_TEMPERATURE}, or 0")
        self._wake_to_sample()
        ids, params = [], []
        for prompt in prompts:
            limits = prompt.new_limits(sampling.max_new_tokens)
            for seed, limit in zip(prompt.seeds, limits, strict=True):
                ids.append(TokensPrompt(prompt_token_ids=list(prompt.read_ids)))
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
        prefixes = [prompt.prefix_ids for prompt in prompts for _ in prompt.seeds]
        completions = [
            self._completion(output.outputs[0], prefix)
            for output, prefix in zip(outputs, prefixes, strict=True)
        ]
        if not all(math.isfinite(sum(completion.logprobs)) for completion in completions):
            self._llm.collective_rpc(_clear_cache)  # later calls would read a NaN in it
        rows = iter(completions)
        return [[next(rows) for _ in prompt.seeds] for prompt in prompts]

    def _wake_to_sample(self) -> None:
        if "weights" in self._asleep and self._adapter is None:
            raise RuntimeError("vLLM discarded its weights in `sleep`; `load_weights` comes before `generate`")
        self._wake("weights")
        if "kv_cache" in self._asleep:
            self._wake("kv_cache")
            self._llm.collective_rpc(_clear_cache)  # what is in new memory may read as NaN

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

    def _completion(self, output: Any, prefix: tuple[int, ...]) -> Completion:
        return Completion(
            ids=(*prefix, *output.token_ids),
            num_given=len(prefix),
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
        with temporary_folder("vllm-") as folder, self._guarded():
            self._adapter.save_pretrained(folder)
            tensors = {key.replace(".default.", "."): tensor for key, tensor in self._lora_weights.items()}
            save_file(tensors, folder / "adapter_model.safetensors")
            # Versions repeat with other weights, because each stage of a run starts at 0.
            self._llm.llm_engine.add_lora(LoRARequest(name, number, str(folder), load_inplace=True))
        self._lora = LoRARequest(name, number, str(folder))

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


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse engine arguments that the installed vLLM does not have.

    Args:
        arguments: Values by name.

    Raises:
        VllmError: Names the first of them and the nearest ones.
    """
    if not arguments:
        return  # importing vLLM takes seconds
    from vllm.engine.arg_utils import EngineArgs

    known = [one.name for one in dataclasses.fields(EngineArgs) if not one.name.startswith("_")]
    for name in arguments:
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else "see EngineArgs in vLLM's documentation"
            raise VllmError(f"rollout.vllm_args has {name}, which the installed vLLM does not know; {hint}")


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


def _sources(model: Any, saved: Sequence[str]) -> dict[str, _Saved]:
    """Where the weights of a model folder come from after an update, by their names in it."""
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    state = model.state_dict(keep_vars=True)
    if unknown := sorted(set(saved) - state.keys()):
        raise VllmError(
            f"{type(model).__name__} has other parameter names in a file ({unknown[0]}, ...) than in "
            "memory, so trained weights cannot be passed on; set rollout.engine to 'torch'"
        )
    trained = {name: names.get(id(state[name])) for name in saved}
    return {
        name: _Saved(trained=trained[name], like=state[name].detach().to("meta" if trained[name] else "cpu"))
        for name in saved
    }


def _save(model: Any, folder: Path) -> list[str]:
    """Write a model folder; returns the names of its tensors."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    names: list[str] = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names += file.keys()
    return names
