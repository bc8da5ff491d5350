"""What samples tokens: the protocol every engine follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from rollout.types import Completion, Prompt, Sampling

Weights = Mapping[str, torch.Tensor]


def copy_weights(weights: Weights, version: int, *, to: Weights) -> None:
    """Write weights over an engine's own, all or none.

    Raises:
        ValueError: A name or shape is not among the engine's.
    """
    for name, tensor in weights.items():
        if name not in to or to[name].shape != tensor.shape:
            have = tuple(to[name].shape) if name in to else "no such parameter"
            raise ValueError(f"weights version {version}: {name} is {tuple(tensor.shape)}, engine has {have}")
    with torch.no_grad():
        for name, tensor in weights.items():
            to[name].copy_(tensor)


class Engine(Protocol):
    """Token ids in, token ids and log-probabilities out."""

    weight_version: int

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Sample every prompt once per seed; results in the order of prompts and seeds.

        A completion depends on its prompt, its seed, the weights and, through rounding, on what else is
        in the same call; it does not depend on earlier calls.
        """
        ...

    def load_weights(self, weights: Weights, version: int) -> None:
        """Take over trained weights by parameter name; parameters not named stay as they are.

        Raises:
            ValueError: A name or shape does not fit the model.
        """
        ...

    def close(self) -> None:
        """Free what does not end by being forgotten."""
        ...
