"""The machine: card, CPU, driver, versions, commit, and the rate at which its memory copies."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

from rl.bench.floor import memory_rate
from rl.bench.gpu.figure import Figure, Setting
from rl.bench.machine import describe_cpu
from rl.runs.provenance import git_revision

_LIBRARIES = ("transformers", "trl", "peft", "vllm")


def measure(setting: Setting) -> Iterator[Figure]:
    """Name the machine, then measure its memory."""
    on_gpu = setting.device == "cuda"
    yield Figure(name="card", value=torch.cuda.get_device_name() if on_gpu else f"none ({platform.machine()})")
    yield Figure(name="CPU", value=describe_cpu())
    if on_gpu:
        yield Figure(name="memory", value=torch.cuda.mem_get_info()[1] / 2**30, unit="GiB")
        yield Figure(name="driver", value=_driver())
    yield Figure(name="torch", value=torch.__version__)
    yield Figure(name="CUDA", value=torch.version.cuda or "none")
    for library in _LIBRARIES:
        yield Figure(name=library, value=_version(library))
    yield Figure(name="commit", value=git_revision() or "unknown")
    rate = memory_rate(torch.zeros(1, dtype=torch.bfloat16, device=setting.device))
    yield Figure(name="copying memory", value=rate / 1e9, unit="GB/s")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    done = subprocess.run(
        [program, "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"
