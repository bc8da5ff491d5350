"""Finds the trajectory files in run folders.

In: run folders. Out: a `Source` for each file, in the order in which the page lists them: for each run its
evaluated stages, then the samples of GRPO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.runs.errors import RunFolderError
from rl.runs.log import RowLog, during_log, evaluation_log, trajectory_log
from rl.runs.read import is_run
from rl.runs.record import SampleRow, Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file of trajectories.

    Example::

        Source(log=evaluation_log(Path("runs/quickstart"), Stage.WARM), key="quickstart/warm",
               label="warm start, evaluated", stage="warm", evaluated=True, greedy=True)

    Attributes:
        log: The file.
        key: Its name in the page's address; unique on a page.
        label: Its name on the page.
        stage: The stage that was evaluated; "training" for the samples of GRPO.
        evaluated: Whether it holds the completions that stand for an evaluated stage when stages are compared:
            the greedy ones, or else the first samples.
        greedy: Whether it holds one greedy completion of each problem.
    """

    log: RowLog[SampleRow]
    key: str
    label: str
    stage: str
    evaluated: bool
    greedy: bool = False


def find_sources(folders: Sequence[Path]) -> tuple[Source, ...]:
    """All trajectory files in some run folders.

    Raises:
        RunFolderError: A folder holds no run, or a run without trajectories, or is given twice.
    """
    sources: list[Source] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        if not is_run(folder):
            raise RunFolderError(
                f"there is no run in {folder} (no config.yaml); give the folder of a run, such as "
                "runs/quickstart"
            )
        found = _of_run(folder, name, several=len(folders) > 1)
        if not found:
            raise RunFolderError(
                f"the run in {folder} has no trajectories yet (neither trajectories.jsonl nor eval/*.jsonl); "
                "wait for its first evaluation"
            )
        sources += found
    return tuple(sources)


def _of_run(folder: Path, name: str, *, several: bool) -> list[Source]:
    about = f"{name}: " if several else ""
    sources: list[Source] = []
    for stage in Stage:
        logs = {greedy: evaluation_log(folder, stage, greedy=greedy) for greedy in (True, False)}
        found = {greedy: log for greedy, log in logs.items() if log.path.is_file()}
        sources += [
            Source(
                log=log,
                key=f"{name}/{log.path.stem}",
                label=f"{about}{stage.label}, evaluated{'' if greedy else ' with samples'}",
                stage=stage.value,
                evaluated=greedy or True not in found,
                greedy=greedy,
            )
            for greedy, log in found.items()
        ]
    during = during_log(folder)
    if during.path.is_file():
        text, key = f"{about}{Stage.GRPO.label}, evaluated during training", f"{name}/during"
        sources.append(Source(log=during, key=key, label=text, stage=Stage.GRPO.value, evaluated=False))
    training = trajectory_log(folder)
    if training.path.is_file():
        text = f"{about}training samples"
        key = f"{name}/training"
        sources.append(Source(log=training, key=key, label=text, stage="training", evaluated=False))
    return sources


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that are all different: a/run and b/run, but run for a single folder."""
    paths = [folder.resolve() for folder in folders]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise RunFolderError(f"{folders[number]} is given twice; give each run once")
    for length in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths have the same parts")
