"""What runs in a Ray actor: a rollout worker that knows which weights it holds, and weights as bytes.

Nothing here imports Ray, so all of it also runs in this process.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rollout.engines.base import Weights
from rollout.types import Batch, GroupRequest, Sampling
from rollout.worker import RolloutWorker, WorkerSpec

PackedWeights = Mapping[str, tuple[str, tuple[int, ...], "np.ndarray[Any, Any]"]]
"""By parameter name: dtype, shape and bytes."""


NO_WEIGHTS = -1


class StaleWeightsError(RuntimeError):
    """An actor was asked to sample with weights that it does not hold."""


class RolloutActor:
    """A `RolloutWorker` in a process of its own. A plain class; `RayPool` wraps it.

    The pool counts publications of weights from 1; 0 stands for the weights of the spec, `NO_WEIGHTS` for none.
    """

    def __init__(self) -> None:
        self._worker: RolloutWorker | None = None
        self._publication = 0

    def build(self, spec: WorkerSpec) -> int:
        """Build the worker; returns the process id.

        The constructor does not do this, because Ray hides the type of an error raised there.
        """
        torch.set_num_threads(spec.engine.threads)
        self._worker = spec.build()
        return os.getpid()

    def ping(self) -> int:
        """Process id of an actor that responds."""
        return os.getpid()

    def load(self, packed: PackedWeights, version: int, publication: int) -> int:
        """Load published weights; returns `publication`."""
        assert self._worker is not None
        self._worker.load_weights(unpack_weights(packed), version)
        self._publication = publication
        return publication

    def sleep(self) -> int:
        """Put the worker's engine to sleep; returns the publication that it still holds."""
        assert self._worker is not None
        if self._worker.sleep():
            self._publication = NO_WEIGHTS
        return self._publication

    def rollout(self, requests: Sequence[GroupRequest], sampling: Sampling | None, publication: int) -> Batch:
        """Roll one batch out.

        Raises:
            StaleWeightsError: The actor does not hold the weights of `publication`.
        """
        if publication != self._publication:
            raise StaleWeightsError(f"asked for publication {publication}, holding {self._publication}")
        assert self._worker is not None
        return self._worker.rollout(requests, sampling)


def pack_weights(weights: Weights) -> PackedWeights:
    """Tensors as byte arrays, which Ray's object store shares with all actors of a node without a copy."""
    packed = {}
    for name, tensor in weights.items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        packed[name] = (
            str(flat.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            flat.view(torch.uint8).numpy(),
        )
    return packed


def unpack_weights(packed: PackedWeights) -> dict[str, torch.Tensor]:
    """The tensors, as read-only views of the bytes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return {
            name: torch.from_numpy(array).view(getattr(torch, dtype)).reshape(shape)
            for name, (dtype, shape, array) in packed.items()
        }
