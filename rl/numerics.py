"""What the last bits of a run's numbers depend on, beside its config and the versions of packages."""

from __future__ import annotations

import torch

from configs import Config
from rl.devices import find_device
from rl.precision import engine_dtype, learner_dtype, mixed_precision


def describe_numerics(config: Config) -> dict[str, str]:
    """Device, processor, threads and precision of a run on this machine, by name; for `provenance.json`.

    Example: {"device": "cpu", "CPU capability": "AVX512", "threads": "2", "learner": "float32", ...}
    """
    device = find_device(config)
    learner = f"{_name(learner_dtype(config))}{' with autocast' if mixed_precision(config) else ''}"
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "learner's precision": learner,
        "engine's precision": _name(engine_dtype(config)),
        **({"CUDA": str(torch.version.cuda)} if device == "cuda" else {}),
    }


def _name(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")
