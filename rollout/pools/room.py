"""Whether actors fit on the cores and GPUs there are; nothing here imports Ray.

In: the resources of nodes, number and size of the actors. Out: nothing, or a `ResourceError` that says what is
missing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

GPUS = "CUDA_VISIBLE_DEVICES"


class ResourceError(ValueError):
    """No cluster has enough resources for the actors."""

    exit_code: ClassVar[int] = 2


class TryAgainError(ResourceError):
    """The resources are not there now, and may be later."""

    exit_code: ClassVar[int] = 75


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorSize:
    """Resources of one actor.

    Attributes:
        cpus: Cores; fractions are allowed.
        gpus: GPUs: a fraction below 1, or a whole number.
    """

    cpus: float
    gpus: float


def check_room(nodes: Sequence[Mapping[str, float]], num_actors: int, size: ActorSize) -> None:
    """Refuse more actors than the nodes can hold when nothing else runs on them.

    The cores and GPUs of an actor must be on one node, and a fraction of a GPU on one GPU. Nodes that a cluster
    could still add are not counted.

    Args:
        nodes: Resources of each node (`CPU`, `GPU`).
        num_actors: Number of actors.
        size: Size of each.

    Raises:
        ResourceError: They do not fit.
    """
    room = sum(_room_on(node, size, num_actors) for node in nodes)
    if room >= num_actors:
        return
    have = ", ".join(f"{_amount(node.get('GPU', 0), node.get('CPU', 0))}" for node in nodes)
    raise ResourceError(
        f"rollout.num_actors={num_actors} with rollout.cpus_per_actor={size.cpus:g} and "
        f"rollout.gpus_per_actor={size.gpus:g} need {_amount(num_actors * size.gpus, num_actors * size.cpus)}; "
        f"Ray has {len(nodes)} node{'s' * (len(nodes) != 1)} with {have}, room for {room} such "
        f"actor{'s' * (room != 1)}. Lower one of these keys (gpus_per_actor=0 samples on the CPU) or add nodes"
    )


def _amount(gpus: float, cpus: float) -> str:
    return f"{gpus:g} GPU and {cpus:g} CPU"


def _room_on(node: Mapping[str, float], size: ActorSize, most: int) -> int:
    slack = 1e-9  # ten actors of 0.1 fit on one core
    room = float(most)
    if size.cpus > 0:
        room = min(room, (node.get("CPU", 0.0) + slack) // size.cpus)
    if size.gpus >= 1:
        room = min(room, node.get("GPU", 0.0) // size.gpus)
    elif size.gpus > 0:
        room = min(room, node.get("GPU", 0.0) * ((1 + slack) // size.gpus))
    return int(room)


def leaves_first_gpu(count: int, num_actors: int, size: ActorSize) -> bool:
    """Whether the actors fit on all GPUs of a machine but the first, which is the learner's.

    Args:
        count: GPUs of the machine.
        num_actors: Number of actors.
        size: Size of each.
    """
    others = {"CPU": math.inf, "GPU": float(count - 1)}
    return count > 1 and size.gpus > 0 and _room_on(others, size, num_actors) >= num_actors


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch  # which the driver of an ablation does without

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    return named[:count] if named else [str(index) for index in range(count)]


def check_size(size: ActorSize) -> None:
    """Refuse an amount that Ray does not hand out.

    Raises:
        ResourceError: Names the key.
    """
    for key, amount in (("cpus_per_actor", size.cpus), ("gpus_per_actor", size.gpus)):
        if amount < 0 or (amount > 1 and amount != int(amount)):
            raise ResourceError(
                f"rollout.{key} is {amount:g}; Ray hands out fractions below 1 or whole numbers"
            )
