"""What a checkpoint of GRPO holds beside the Trainer's own files, so that a run goes on from any update.

::

    stride_state.json             update, state of the group source, and what the other files are
    ahead-<version>.safetensors   weights that the batches sampled ahead come from (rollout.max_staleness)
    micro_batches.safetensors     the rollout batch, where updates on it are left (grpo.num_iterations)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rl.grpo.micro_batches import MicroBatch
from rl.runs.checkpoints import STATE
from rollout.stream import AheadBatch

_MICRO_BATCHES = "micro_batches.safetensors"


@dataclass(frozen=True, kw_only=True)
class GrpoState:
    """The state of the data after an update.

    Attributes:
        source: State of the group source after the last rollout batch trained on.
        ahead: What the next rollout batches are sampled with.
        micro_batches: The rollout batch, if further updates train on it.
        on_policy: Whether it was sampled with the weights it was first trained with.
        unevaluated: The figures of the update, by what holds them, if the evaluation that belongs to its row in
            the log has not been done.
    """

    source: Mapping[str, Any]
    ahead: Sequence[AheadBatch] = ()
    micro_batches: Sequence[MicroBatch] = ()
    on_policy: bool = True
    unevaluated: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """What `stride_state.json` holds of it, beside the update."""
        return {
            **self.source,
            "ahead": [batch.version for batch in self.ahead],
            "micro_batches": [_numbers(batch) for batch in self.micro_batches],
            "on_policy": self.on_policy,
            "unevaluated": self.unevaluated,
        }

    def write_tensors(self, folder: Path) -> None:
        """Write what is no JSON into a checkpoint."""
        for version, weights in {batch.version: batch.weights for batch in self.ahead}.items():
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, _ahead(folder, version))
        if tensors := _tensors(self.micro_batches):
            save_file(tensors, folder / _MICRO_BATCHES)

    @staticmethod
    def read(folder: Path, *, device: torch.device) -> GrpoState:
        """Read it from a checkpoint; one of an older version ended where nothing was sampled ahead.

        Args:
            folder: The checkpoint.
            device: Where the micro-batches go.
        """
        state = json.loads((folder / STATE).read_text())
        versions, numbers = state.pop("ahead", []), state.pop("micro_batches", [])
        weights = {version: load_file(_ahead(folder, version)) for version in versions}
        tensors = load_file(folder / _MICRO_BATCHES, device=str(device)) if numbers else {}
        return GrpoState(
            on_policy=state.pop("on_policy", True),
            unevaluated=state.pop("unevaluated", None),
            ahead=[AheadBatch(version=version, weights=weights[version]) for version in versions],
            micro_batches=_join(tensors, numbers),
            source={key: value for key, value in state.items() if key not in ("format", "update")},
        )


def logged_until(checkpoint: Path) -> int:
    """The last update whose row in the log was complete when a checkpoint was written."""
    state = json.loads((checkpoint / STATE).read_text())
    return int(state["update"]) - (state.get("unevaluated") is not None)


def _ahead(folder: Path, version: int) -> Path:
    return folder / f"ahead-{version}.safetensors"


def _tensors(batches: Sequence[MicroBatch]) -> dict[str, torch.Tensor]:
    """By number of the micro-batch and key; copies, because safetensors refuses tensors that share memory."""
    return {
        f"{number}.{key}": value.clone(memory_format=torch.contiguous_format)
        for number, batch in enumerate(batches)
        for key, value in batch.items()
        if isinstance(value, torch.Tensor)
    }


def _numbers(batch: MicroBatch) -> dict[str, float]:
    """What of a micro-batch is no tensor."""
    return {key: value for key, value in batch.items() if not isinstance(value, torch.Tensor)}


def _join(tensors: Mapping[str, torch.Tensor], numbers: Sequence[Mapping[str, Any]]) -> list[MicroBatch]:
    batches: list[MicroBatch] = [dict(values) for values in numbers]
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        batches[int(number)][key] = tensor
    return batches
