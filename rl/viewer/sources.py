"""Finds the trajectory files in run folders.

In: run folders. Out: a `Source` for each file or folder, in the order in which the page lists them: for each
run its evaluated stages, then the samples of GRPO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.runs.errors import RunFolderError
from rl.runs.log import RowLog, evaluation_log
from rl.runs.read import is_run
from rl.runs.record import SampleRow, Stage
from rl.runs.trajectories import TrajectoryFile, during_log, trajectory_log


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file of trajectories, or one folder of them.

    Example::

        Source(rows=evaluation_log(Path("runs/quickstart"), Stage.WARM), key="quickstart/warm",
               label="warm start, evaluated", stage="warm", evaluated=True, greedy=True)

    Attributes:
        rows: The file, or the files of some updates.
        key: Its name in the page's address; unique on a page.
        label: Its name on the page.
        stage: The stage that was evaluated; "training" for the samples of GRPO.
        evaluated: Whether it holds the completions that stand for an evaluated stage when stages are compared:
            the greedy ones, or else the first samples.
        greedy: Whether it holds one greedy completion of each problem.
    """

    rows: RowLog[SampleRow] | Sequence[TrajectoryFile]
    key: str
    label: str
    stage: str
    evaluated: bool
    greedy: bool = False


def find_sources(folders: Sequence[Path], updates: range | None = None) -> tuple[Source, ...]:
    """All trajectory files in some run folders.

    Args:
        folders: The runs.
        updates: Updates of GRPO whose files are listed; None: all.

    Raises:
        RunFolderError: A folder holds no run, or a run without trajectories or without any of these updates,
            or is given twice.
    """
    sources: list[Source] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        if not is_run(folder):
            raise RunFolderError(
                f"there is no run in {folder} (no config.yaml); give the folder of a run, such as "
                "runs/quickstart"
            )
        _check_updates(folder, updates)
        found = _of_run(folder, name, updates, several=len(folders) > 1)
        if not found:
            raise RunFolderError(
                f"the run in {folder} has no trajectories yet (neither in trajectories/ nor in eval/); wait "
                "for its first evaluation"
            )
        sources += found
    return tuple(sources)


def _check_updates(folder: Path, updates: range | None) -> None:
    kept = [file.update for file in trajectory_log(folder).files()]
    if updates is not None and not any(update in updates for update in kept):
        has = f"it has some of updates {kept[0]} to {kept[-1]}" if kept else "it has none at all"
        given = f"{updates[0]}-{updates[-1]}"
        raise RunFolderError(f"--updates {given}: the run in {folder} has no samples of these updates; {has}")


def _of_run(folder: Path, name: str, updates: range | None, *, several: bool) -> list[Source]:
    about = f"{name}: " if several else ""
    sources: list[Source] = []
    for stage in Stage:
        logs = {greedy: evaluation_log(folder, stage, greedy=greedy) for greedy in (True, False)}
        found = {greedy: log for greedy, log in logs.items() if log.path.is_file()}
        sources += [
            Source(
                rows=log,
                key=f"{name}/{log.path.stem}",
                label=f"{about}{stage.label}, evaluated{'' if greedy else ' with samples'}",
                stage=stage.value,
                evaluated=greedy or True not in found,
                greedy=greedy,
            )
            for greedy, log in found.items()
        ]
    grpo = (
        (during_log(folder), "during", Stage.GRPO.value, f"{Stage.GRPO.label}, evaluated during training"),
        (trajectory_log(folder), "training", "training", "training samples"),
    )
    for log, key, stage_name, label in grpo:
        files = [file for file in log.files() if updates is None or file.update in updates]
        if files:
            sources.append(
                Source(
                    rows=files, key=f"{name}/{key}", label=f"{about}{label}", stage=stage_name, evaluated=False
                )
            )
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
