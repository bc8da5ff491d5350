"""What a stage's Trainer writes at a checkpoint, given to the writer of whole checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from rl.freed_memory import return_freed_memory
from rl.runs.checkpoints import save_checkpoint


class WholeCheckpoints(Trainer):
    """A Trainer whose checkpoints are `rl.runs.checkpoints`'; a base class to the left of TRL's trainer.

    Transformers' Trainer writes `checkpoint-<update>` in place, and removes older ones before a subclass has
    written its own state. Here it writes into a temporary folder, in which it finds nothing to remove.
    """

    _writing_to: Path | None = None

    def save_checkpoint(self) -> Path:
        """Write the checkpoint of the last completed update, unless there is one; returns it.

        Raises:
            DiskError: It could not be written; the one before is intact.
        """
        keep, model = self.args.save_total_limit, self.model
        assert keep is not None and model is not None

        def write(new: Path) -> None:
            self._writing_to = new.parent
            try:
                super(WholeCheckpoints, self)._save_checkpoint(model, trial=None)
                self._write_data(new)
            finally:
                self._writing_to = None

        return save_checkpoint(
            Path(str(self.args.output_dir)),
            self.state.global_step,
            write,
            self._data_state(),
            keep=keep,
            needed=_num_bytes(self._tensors()),
        )

    def _data_state(self) -> dict[str, Any]:
        """Where the stage's data stands, as plain JSON; empty if the Trainer's own files say it."""
        return {}

    def _write_data(self, folder: Path) -> None:
        """Write what else the stage's data needs and is no JSON."""

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        self.save_checkpoint()
        return_freed_memory()

    def _get_output_dir(self, trial: Any) -> str:
        """The folder that the Trainer makes its folder `checkpoint-<update>` in."""
        return str(self._writing_to or self.args.output_dir)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: Stride's model cards have the run's results (`rl/models/card.py`)."""

    def _tensors(self) -> Iterator[torch.Tensor]:
        """What takes the room: trained weights and the optimizer's state."""
        assert self.model is not None
        yield from (weight for weight in self.model.parameters() if weight.requires_grad)
        for state in self.optimizer.state.values() if self.optimizer is not None else ():
            yield from (value for value in state.values() if isinstance(value, torch.Tensor))


def _num_bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
