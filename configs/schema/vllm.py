"""`rollout.vllm_args`: which of vLLM's engine arguments are not the user's to set, and what to set instead.

In: the arguments as a mapping. Out: nothing, or one clause about the first that is refused. Whether vLLM has an
argument at all is checked where vLLM is installed (`rollout/engines/vllm_settings.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_POLICY = "vLLM samples from the policy's own weights; set policy.model"
_TOKENS = "vLLM gets token ids"
_SEEDS = "every completion has a seed of its own, derived from seed; set that"
_LENGTH = "it follows from rollout.max_prompt_tokens and max_new_tokens; set those"
_CACHE = "set rollout.kv_cache_gib"
_LORA = "it follows from policy.lora; set that"
_LOGPROBS = "training needs the log-probabilities of the distribution that was sampled from"
_ACTORS = "set rollout.num_actors"

OWNED_ARGUMENTS: Mapping[str, str] = {
    "model": _POLICY,
    "model_weights": _POLICY,
    "hf_config_path": _POLICY,
    "hf_overrides": _POLICY,
    "revision": _POLICY,
    "code_revision": _POLICY,
    "load_format": _POLICY,
    "config_format": _POLICY,
    "tokenizer": _TOKENS,
    "tokenizer_mode": _TOKENS,
    "tokenizer_revision": _TOKENS,
    "skip_tokenizer_init": _TOKENS,
    "runner": "it only generates",
    "convert": "it only generates",
    "seed": _SEEDS,
    "dtype": "set rollout.dtype",
    "max_model_len": _LENGTH,
    "max_num_seqs": "set rollout.max_rows",
    "gpu_memory_utilization": "set rollout.gpu_memory_utilization",
    "kv_cache_memory_bytes": _CACHE,
    "num_gpu_blocks_override": _CACHE,
    "enable_sleep_mode": "set rollout.enable_sleep_mode",
    "enable_prefix_caching": "the prefix cache serves the samples of a group and is emptied with every call",
    "enable_lora": _LORA,
    "max_loras": _LORA,
    "max_cpu_loras": _LORA,
    "max_lora_rank": _LORA,
    "lora_target_modules": _LORA,
    "default_mm_loras": _LORA,
    "logprobs_mode": _LOGPROBS,
    "max_logprobs": _LOGPROBS,
    "logits_processors": _LOGPROBS,
    "generation_config": "set rollout.temperature",
    "override_generation_config": "set rollout.temperature",
    "data_parallel_size": _ACTORS,
}
"""The arguments that Stride sets itself, and why or with which key."""


def check_owned(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that Stride sets itself.

    Raises:
        ValueError: Names the first of them and the key to use.
    """
    for name in arguments:
        if name in OWNED_ARGUMENTS:
            raise ValueError(f"Stride sets {name} itself; {OWNED_ARGUMENTS[name]}")
