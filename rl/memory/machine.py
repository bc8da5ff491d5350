"""The memory that there is, and a check of tiny models that needs no torch."""

from __future__ import annotations

from pathlib import Path

import psutil

from configs import Config, ConfigError
from configs.schema.config import TinyModelConfig
from rl.memory.text import gib

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
    """Refuse a tiny model that cannot be trained in this machine's memory, before it is made.

    Raises:
        ConfigError: Names the keys to lower.
    """
    if config.policy.model != "tiny":
        return
    needed = num_tiny_parameters(config.policy.tiny) * _BYTES_PER_PARAMETER
    if needed > host_bytes():
        raise ConfigError(
            f"policy.tiny takes at least {gib(needed)} with gradients and optimizer, and this machine has "
            f"{gib(host_bytes())} of memory; lower policy.tiny.hidden_size, num_layers or intermediate_size"
        )


def num_tiny_parameters(tiny: TinyModelConfig) -> int:
    """Parameters without embeddings: 4 attention and 3 MLP matrices and 2 norms a layer, and a last norm."""
    width = tiny.hidden_size
    return tiny.num_layers * (4 * width**2 + 3 * width * tiny.intermediate_size + 2 * width) + width
