"""The files of trajectories that run folders hold.

In: run folders. Out: a `Source` for every file, in the order the page names them: of each run the evaluated
stages, then the samples GRPO trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.runs.folder import RunFolderError
from rl.runs.record import LABELS, label


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file of trajectories.

    Example::

        Source(path=Path("runs/quickstart/eval/warm.jsonl"), key="quickstart/warm",
               label="warm start, evaluated", stage="warm", evaluated=True)

    Attributes:
        path: The file.
        key: What the page's address calls it; unique on a page.
        label: What a reader calls it.
        stage: Stage whose evaluation it is; "training" for the samples of GRPO.
        evaluated: Whether it holds greedy completions of an evaluation, which can be compared.
    """

    path: Path
    key: str
    label: str
    stage: str
    evaluated: bool


def find_sources(folders: Sequence[Path]) -> tuple[Source, ...]:
    """All files of trajectories in some run folders.

    Raises:
        RunFolderError: A folder holds no run, or a run without trajectories, or is given twice.
    """
    sources: list[Source] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        if not (folder / "config.yaml").is_file():
            raise RunFolderError(
                f"there is no run in {folder} (no config.yaml); give the folder of a run, as runs/quickstart"
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
    order = list(LABELS)
    evaluated = sorted(
        (folder / "eval").glob("*.jsonl"),
        key=lambda path: (order.index(path.stem) if path.stem in order else len(order), path.stem),
    )
    about = f"{name}: " if several else ""
    sources = [
        Source(
            path=path,
            key=f"{name}/{path.stem}",
            label=f"{about}{label(path.stem)}, evaluated",
            stage=path.stem,
            evaluated=True,
        )
        for path in evaluated
    ]
    training = folder / "trajectories.jsonl"
    if training.is_file():
        text = f"{about}samples trained on"
        key = f"{name}/training"
        sources.append(Source(path=training, key=key, label=text, stage="training", evaluated=False))
    return sources


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart: a/run and b/run, but run alone."""
    paths = [folder.resolve() for folder in folders]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise RunFolderError(f"{folders[number]} is given twice; give each run once")
    for length in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths have the same parts")
