"""Uploads of a run's models to the hub while it goes (`push_to_hub` in the config).

A refusal is found before the run, where a repository is created. After that a failed upload is said in a line
and does not end the run: the model is on disk, and `stride push` uploads it later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from configs.schema.reporting import HubConfig
from rl.models.card import write_model_card
from rl.models.push import PushError, push_model
from rl.runs.models import TrainedModel, find_trained
from rl.runs.record import Stage


class HubUploads(TrainerCallback):
    """Uploads the last model of a run, and if asked that of each checkpoint."""

    def __init__(self, config: HubConfig, repo_id: str, run: Path, say: Callable[[str], None]) -> None:
        """Set up; nothing is uploaded yet.

        Args:
            config: The section `push_to_hub`.
            repo_id: A repository that exists.
            run: Folder of the run.
            say: Called with one line after each upload.
        """
        self._config = config
        self._repo_id = repo_id
        self._run = run
        self._say = say

    def upload_final(self, best: Path) -> None:
        """Upload the last model of the run, or the one in `best` if the config asks for it and it is there."""
        is_best = self._config.model == "best" and best.is_dir()
        self._upload(find_trained(best if is_best else self._run))

    def _upload(self, model: TrainedModel) -> None:
        """Upload a model; a failure is only said."""
        try:
            address = push_model(model, self._repo_id)
        except PushError as error:
            self._say(f"warning: {error}; later: stride push {model.path} {self._repo_id}")
        else:
            self._say(f"uploaded {model.path.name}: {address}")

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Upload the checkpoint that was just written."""
        if self._config.when != "save":
            return
        path = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        model = TrainedModel(path=path, run=self._run, stage=Stage.GRPO)
        write_model_card(model, f"{self._repo_id.rpartition('/')[2]}, update {state.global_step}")
        self._upload(model)
