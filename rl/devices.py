"""Which device the learner, the local engine and the actors use.

The learner takes one GPU, the first that torch sees, also where there are more; the others are for actors.
"""

from __future__ import annotations

import os

import torch

from configs import Config, ConfigError
from rl.ray_job import describe_reservation
from rollout.pools.room import ActorSize, leaves_first_gpu

_REMEDY = (
    "set rollout.gpus_per_actor (a fraction shares a GPU), or rollout.actor_device to 'cpu' if that is meant"
)


def find_device(config: Config) -> str:
    """The device of the learner and the local engine, "cpu" or "cuda".

    Raises:
        ConfigError: `device` is "cuda" and torch sees no GPU.
    """
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', but torch sees no GPU; set device to 'cpu' or 'auto'")
    return config.device


def check_devices(config: Config) -> None:
    """Refuse a device that is not there, and actors on the CPU beside a learner that asks for a GPU.

    Raises:
        ConfigError: Names the key.
    """
    find_device(config)
    if config.device == "cuda" and _on_cpu_by_default(config):
        raise ConfigError(
            "device is 'cuda', but rollout.gpus_per_actor is 0, so the actors would sample on the CPU; "
            f"{_REMEDY}"
        )


def shares_gpu(config: Config) -> bool:
    """Whether an engine may be on the learner's GPU.

    On a cluster that a run joins, an actor that asks for a whole GPU is taken to have it for itself.

    Raises:
        ConfigError: As `find_device`.
    """
    rollout = config.rollout
    if find_device(config) == "cpu":
        return False
    if rollout.backend == "local":
        return True
    size = ActorSize(cpus=rollout.cpus_per_actor, gpus=rollout.gpus_per_actor)
    if "RAY_ADDRESS" in os.environ:
        return 0 < size.gpus < 1
    return size.gpus > 0 and not leaves_first_gpu(torch.cuda.device_count(), rollout.num_actors, size)


def describe_devices(config: Config) -> list[str]:
    """Lines for the start of a run: what is used where there is a choice."""
    if not torch.cuda.is_available():
        return []
    lines, count = [], torch.cuda.device_count()
    if find_device(config) == "cuda":
        lines += describe_reservation()
    if find_device(config) == "cuda" and count > 1:
        lines.append(f"learner: GPU 0 ({torch.cuda.get_device_name(0)}) of {count}; {_others(config, count)}")
    if _on_cpu_by_default(config):
        lines.append(
            f"warning: the actors sample on the CPU, and torch sees {count} GPU{'s' * (count > 1)}; {_REMEDY}"
        )
    return lines


def _on_cpu_by_default(config: Config) -> bool:
    rollout = config.rollout
    return rollout.backend == "ray" and rollout.gpus_per_actor == 0 and rollout.actor_device == "auto"


def _others(config: Config, count: int) -> str:
    rollout = config.rollout
    size = ActorSize(cpus=rollout.cpus_per_actor, gpus=rollout.gpus_per_actor)
    if rollout.backend == "ray" and size.gpus > 0 and "RAY_ADDRESS" in os.environ:
        return "the cluster decides where the actors run"
    if rollout.backend == "ray" and size.gpus > 0:
        apart = leaves_first_gpu(count, rollout.num_actors, size)
        return "the actors use the others" if apart else "the actors use all, this one too"
    return "the others stay idle; actors sample on them with rollout.backend=ray and rollout.gpus_per_actor=1"
