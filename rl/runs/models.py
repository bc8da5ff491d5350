"""The trained model of a run, found by what a user names: the run's folder or a model folder in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rl.runs.errors import RunFolderError
from rl.runs.log import read_summary
from rl.runs.read import is_run
from rl.runs.record import BestModel, Stage

BEST = "best"
"""Name of the folder of the best model that the evaluations during GRPO have met."""

OF_ROUND = "round-"
"""How the names of the models of a loop begin (`rl/iterate/files.py`, `rl/search/expert_record.py`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A model folder, and the run it comes from.

    Attributes:
        path: The model folder.
        run: Folder of the run that trained it, or None.
        stage: The stage after which, or in which, it was saved, or None.
        best: How it was judged, if it is the best model of the evaluations during GRPO.
    """

    path: Path
    run: Path | None = None
    stage: Stage | None = None
    best: BestModel | None = None

    @property
    def config(self) -> Path | None:
        """The resolved config of the run."""
        return None if self.run is None else self.run / "config.yaml"


def find_trained(path: Path) -> TrainedModel:
    """The model in a folder; for a run folder, the model of its last stage; of a loop, of its last round.

    Raises:
        RunFolderError: There is no such folder, or it holds no model.
    """
    if not path.is_dir():
        raise RunFolderError(f"there is no folder {path}; give the folder of a run or of a model")
    if is_run(path):
        for stage in reversed(Stage):
            if _is_model(path / "models" / stage):
                return TrainedModel(path=path / "models" / stage, run=path, stage=stage)
        if (newest := _newest_of_loop(path)) is not None:
            return TrainedModel(path=newest, run=path)
        raise RunFolderError(f"the run in {path} has saved no model yet; let a stage of it finish first")
    if not _is_model(path):
        raise RunFolderError(
            f"{path} holds neither a run (config.yaml) nor a model (config.json or adapter_config.json)"
        )
    run = path.resolve().parents[1] if len(path.resolve().parents) > 1 else path
    if path.resolve().parent.name == "models" and is_run(run):
        if path.name in {*Stage}:
            return TrainedModel(path=path, run=run, stage=Stage(path.name))
        if path.name == BEST and (best := read_summary(run).best) is not None:
            return TrainedModel(path=path, run=run, stage=Stage.GRPO, best=best)
        if path.name.startswith(OF_ROUND):
            return TrainedModel(path=path, run=run)
    return TrainedModel(path=path)


def _newest_of_loop(run: Path) -> Path | None:
    """The model of a loop's last round, the standard one if there is one; None where no round has a model."""
    found = [path for path in (run / "models").glob(f"{OF_ROUND}*-*") if _is_model(path)]
    return max(found, key=lambda path: (int(path.name.split("-")[1]), path.name), default=None)


def _is_model(path: Path) -> bool:
    return any((path / name).is_file() for name in ("config.json", "adapter_config.json"))
