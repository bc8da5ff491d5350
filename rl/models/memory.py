"""Refuses what cannot fit into memory, before it is allocated.

Needs are compared with the whole memory, not with the part that is free now, so that nothing is refused that
could work.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from configs import Config, ConfigError
from configs.schema.config import TinyModelConfig

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# Weights, gradients, the two moments of AdamW and the engine's copy, in float32.
_BYTES_PER_PARAMETER = 5 * 4


def host_bytes() -> int:
    """Memory of this machine, or of the container it is."""
    limits = [psutil.virtual_memory().total]
    for path in map(Path, _CGROUP_LIMITS):
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return int(min(limits))


def check_tiny_model(config: Config) -> None:
    """Refuse a tiny model that cannot be trained in this machine's memory.

    Raises:
        ConfigError: Names the keys to lower.
    """
    if config.policy.model != "tiny":
        return
    needed = num_tiny_parameters(config.policy.tiny) * _BYTES_PER_PARAMETER
    if needed > host_bytes():
        raise ConfigError(
            f"policy.tiny takes at least {_mib(needed)} with gradients and optimiser, and this machine has "
            f"{_mib(host_bytes())} of memory; lower policy.tiny.hidden_size, num_layers or intermediate_size"
        )


def num_tiny_parameters(tiny: TinyModelConfig) -> int:
    """Parameters without embeddings: 4 attention and 3 MLP matrices and 2 norms a layer, and a last norm."""
    width = tiny.hidden_size
    return tiny.num_layers * (4 * width**2 + 3 * width * tiny.intermediate_size + 2 * width) + width


def check_cache(config: Config, cache_bytes: float, *, gpu_bytes: int | None) -> None:
    """Refuse sizes of rollouts whose KV cache cannot fit into memory.

    Args:
        config: Its `rollout` and `eval` sections give the sizes.
        cache_bytes: The most one engine needs.
        gpu_bytes: Memory of the GPU that the engine is on; None: it is on the CPU.

    Raises:
        ConfigError: Names the keys to lower.
    """
    rollout, evaluation = config.rollout, config.eval
    on_ray = rollout.backend == "ray"
    if on_ray and (os.environ.get("RAY_ADDRESS") or gpu_bytes is not None):
        return  # actors may be on other machines or GPUs
    engines = rollout.num_actors if on_ray else 1
    memory, where = (host_bytes(), "this machine") if gpu_bytes is None else (gpu_bytes, "the GPU")
    if engines * cache_bytes <= memory:
        return
    training = rollout.problems_per_batch * rollout.samples_per_problem
    evaluated = evaluation.problems_per_batch * max(1, evaluation.num_samples)
    keys = (
        "rollout.samples_per_problem, rollout.problems_per_batch"
        if training >= evaluated
        else "eval.num_samples, eval.problems_per_batch"
    )
    each = "an engine" if engines == 1 else f"in each of {engines} engines"
    raise ConfigError(
        f"the KV cache takes up to {_mib(cache_bytes)} {each}, and "
        f"{where} has {_mib(memory)} of memory; lower {keys} or max_new_tokens, or set rollout.max_rows"
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
