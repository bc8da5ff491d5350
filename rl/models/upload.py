"""Uploads of a run's models to the hub while it goes (`push_to_hub` in the config).

A refusal is found before the run, where a repository is created. After that a failed upload is said in a line
and does not end the run: the model is on disk, and `stride push` uploads it later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rl.models.card import write_model_card
from rl.models.push import PushError, push_model
from rl.runs.models import TrainedModel
from rl.runs.record import Stage


class HubUploads(TrainerCallback):
    """Uploads the last model of a run, and if asked that of each checkpoint."""

    def __init__(self, repo_id: str, run: Path, say: Callable[[str], None], *, checkpoints: bool) -> None:
        """Set up; nothing is uploaded yet.

        Args:
            repo_id: A repository that exists.
            run: Folder of the run.
            say: Called with one line after each upload.
            checkpoints: Upload checkpoints too.
        """
        self._repo_id = repo_id
        self._checkpoints = checkpoints
        self._run = run
        self._say = say

    def upload(self, stage: Stage, path: Path) -> None:
        """Upload the model in a folder of the run; a failure is only said."""
        model = TrainedModel(path=path, run=self._run, stage=stage)
        try:
            address = push_model(model, self._repo_id)
        except PushError as error:
            self._say(f"warning: {error}; later: stride push {path} {self._repo_id}")
        else:
            self._say(f"uploaded {path.name}: {address}")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Upload the checkpoint that was just written."""
        if not self._checkpoints:
            return
        path = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        model = TrainedModel(path=path, run=self._run, stage=Stage.GRPO)
        write_model_card(model, f"{self._repo_id.rpartition('/')[2]}, update {state.global_step}")
        self.upload(Stage.GRPO, path)
