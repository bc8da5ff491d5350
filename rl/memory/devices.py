"""Where learner and engines are, and the memory of these devices.

In: a config and what the machine has. Out: `Devices`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from configs import Config
from rl.memory.machine import host_bytes
from rollout.pools.room import ActorSize, leaves_first_gpu

_FREE_FRAC, _FREE_BYTES = 0.06, 1 << 29  # of a GPU: fragmentation; context and libraries


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """Where learner and engines are.

    Attributes:
        size: Bytes of the learner's device.
        on_gpu: Whether it is a GPU.
        engines_here: Engines on the same device.
        engine_size: Bytes of the device that engines have for themselves; None: unknown, or there is none.
        engines_there: Engines that share such a device.
    """

    size: int
    on_gpu: bool
    engines_here: int
    engine_size: int | None = None
    engines_there: int = 0

    def engines_on_gpu(self, config: Config) -> bool:
        """Whether engines sample on a GPU."""
        return config.rollout.gpus_per_actor > 0 or (self.on_gpu and self.engines_here > 0)

    @property
    def name(self) -> str:
        """The learner's device in a sentence."""
        return "the GPU" if self.on_gpu else "this machine"


def find_devices(config: Config, *, gpus: int, gpu_bytes: int | None, cpu: bool) -> Devices:
    """The devices of a run on one machine; with `RAY_ADDRESS`, actors may be anywhere.

    Args:
        config: The run.
        gpus: GPUs of the machine.
        gpu_bytes: Memory of one of them; None without any.
        cpu: Whether the learner is on the CPU.
    """
    rollout = config.rollout
    size = host_bytes() if cpu or gpu_bytes is None else gpu_bytes
    if rollout.backend == "local":
        return Devices(size=size, on_gpu=not cpu, engines_here=1)
    if "RAY_ADDRESS" in os.environ:
        return Devices(size=size, on_gpu=not cpu, engines_here=0)
    if rollout.gpus_per_actor == 0:  # actors sample on the CPU
        if cpu:
            return Devices(size=size, on_gpu=False, engines_here=rollout.num_actors)
        return Devices(
            size=size,
            on_gpu=True,
            engines_here=0,
            engine_size=host_bytes(),
            engines_there=rollout.num_actors,
        )
    actor = ActorSize(cpus=rollout.cpus_per_actor, gpus=rollout.gpus_per_actor)
    together = min(rollout.num_actors, max(1, int((1 + 1e-9) // rollout.gpus_per_actor)))
    if cpu or leaves_first_gpu(gpus, rollout.num_actors, actor):
        return Devices(size=size, on_gpu=not cpu, engines_here=0, engine_size=gpu_bytes, engines_there=together)
    return Devices(size=size, on_gpu=True, engines_here=together)


def usable_bytes(size: int, *, on_gpu: bool) -> int:
    """What may be planned of a device: some of a GPU stays free for its context and for fragmentation."""
    return int(size * (1 - _FREE_FRAC)) - _FREE_BYTES if on_gpu else size
