"""The protocol of everything that samples tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from rollout.types import Completion, Prompt, Sampling

Weights = Mapping[str, torch.Tensor]


def check_weights(weights: Weights, version: int, *, to: Weights) -> None:
    """Refuse weights that an engine has no parameters for.

    Args:
        weights: New weights by parameter name.
        version: Their version, for messages.
        to: The engine's own weights.

    Raises:
        ValueError: The engine has no parameter of this name or shape.
    """
    for name, tensor in weights.items():
        if name not in to or to[name].shape != tensor.shape:
            have = tuple(to[name].shape) if name in to else "no such parameter"
            raise ValueError(f"weights version {version}: {name} is {tuple(tensor.shape)}, engine has {have}")


def copy_weights(weights: Weights, version: int, *, to: Weights) -> None:
    """Overwrite an engine's weights, all or none; see `check_weights`.

    Raises:
        ValueError: The engine has no parameter of this name or shape.
    """
    check_weights(weights, version, to=to)
    with torch.no_grad():
        for name, tensor in weights.items():
            to[name].copy_(tensor)


class Engine(Protocol):
    """Token ids in, token ids and log-probabilities out.

    Attributes:
        weight_version: Version of the weights it samples with; 0 before the first `load_weights`.
    """

    weight_version: int

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Sample every prompt once per seed; results are in the order of prompts and seeds.

        A completion depends on its prompt, its seed, the weights and, through rounding, on the other prompts of
        the call. It does not depend on earlier calls.

        A prefix (`Prompt.prefix_ids`) is read as further prompt and stands at the start of each completion.

        Raises:
            PrefixError: A prefix is as long as the length limit.
        """
        ...

    def load_weights(self, weights: Weights, version: int) -> None:
        """Take trained weights by parameter name; parameters not named stay as they are.

        Raises:
            ValueError: A name or shape does not fit the model, or the engine needs weights that are not there.
        """
        ...

    def sleep(self) -> bool:
        """Give memory that it shares with the learner back, until the next call of another method.

        Returns:
            Whether the weights are gone, so that `load_weights` has to come before `generate`.
        """
        ...

    def close(self) -> None:
        """Free whatever garbage collection does not free."""
        ...
