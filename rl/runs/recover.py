"""What can be had of a run some of whose files are damaged.

In: the folder of a run that is about to go on. Out: every damaged file set aside (renamed, never deleted),
with what its neighbours say in its place, and a line about each. Only `config.yaml` and checkpoints cannot be
missing: the first is refused in `resumable.py`, the others are chosen in `checkpoints.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from configs.schema.config import EvalConfig
from rl.iterate.files import all_logs
from rl.runs.early_stopping import is_over, next_best
from rl.runs.errors import DamagedFileError, RunFolderError
from rl.runs.files import set_aside, write_text
from rl.runs.log import evaluation_log, metrics_log, read_summary
from rl.runs.record import SECTIONS, BestModel, Stage, Summary, UpdateRow
from rl.runs.trajectories import TrajectoryFile, during_log, trajectory_log
from rl.search.record import PAGE, has_search, problem_log, stage_folder, stage_settings

_SUMMARY = "summary.json"


class _Logged(NamedTuple):
    """What an update's row in `metrics.jsonl` says of the evaluation after it."""

    num_problems: int
    accuracy: float
    verified: float | None
    steps_per_correct: float | None


def check_formats(folder: Path) -> None:
    """Refuse a run whose files have a format that this version does not read; damaged files are no reason.

    Trajectories are not opened: their format is that of the summary and of the metrics beside them.

    Raises:
        OtherFormatError: Names the file and its format.
    """
    checks: list[Callable[[], object]] = [lambda: read_summary(folder), metrics_log(folder).check_format]
    checks += [
        evaluation_log(folder, stage, greedy=greedy).check_format for stage in Stage for greedy in (True, False)
    ]
    checks += [problem_log(stage_folder(folder, stage)).check_format for stage in Stage]
    checks += [log.check_format for log in all_logs(folder)]
    for check in checks:
        try:
            check()
        except DamagedFileError:
            continue


def read_or_empty(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty where the file is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def recovered_summary(folder: Path) -> Summary:
    """The summary of a run; where it is missing or damaged, what metrics and models say of it.

    The results of evaluations are missing in the latter: these are made again, on the same problems with the
    same seeds. The best model and an early stop follow from the logged evaluations.

    Raises:
        OtherFormatError: It has a format that is not read.
    """
    if (folder / _SUMMARY).exists():
        try:
            return read_summary(folder)
        except DamagedFileError:
            pass
    rows = list(_whole_rows(folder))
    trained = {
        stage: max(row.update for row in rows if row.stage is stage)
        for stage in SECTIONS
        if (folder / "models" / stage).is_dir() and any(row.stage is stage for row in rows)
    }
    best, stopped = _replayed(folder, [row for row in rows if row.stage is Stage.GRPO])
    return Summary(updates=trained, best=best, stopped=stopped)


def mend(folder: Path) -> list[str]:
    """Set the damaged files of a run aside and write what is left of them; returns a line about each.

    Raises:
        OtherFormatError: A file has a format that is not read.
        OSError: The folder cannot be written.
    """
    lines = []
    for name in ("provenance.json", "problems.json"):
        if (folder / name).exists() and not read_or_empty(folder / name):
            aside = set_aside(folder / name)
            lines.append(f"{folder / name} is damaged and set aside as {aside.name}; what it said is lost")
    summary = recovered_summary(folder)
    mends = [metrics_log(folder).mend]
    mends += [evaluation_log(folder, stage, greedy=greedy).mend for stage in Stage for greedy in (True, False)]
    mends += [log.mend for log in all_logs(folder)]
    lines += [line for mend in mends if (line := mend())]
    lines += [line for stage in Stage if (line := _mend_search(folder, stage))]
    for trajectories in (trajectory_log(folder), during_log(folder)):
        for file in trajectories.files():
            if not file.is_whole():
                aside = set_aside(file.path)
                lines.append(f"{file.path} is damaged and set aside as {aside.name}; its completions are lost")
    if line := _mend_summary(folder, summary):
        lines.append(line)
    return lines


def _mend_search(run: Path, stage: Stage) -> str:
    """Mend the search of a stage; it counts as unfinished then, and goes on where stages are searched."""
    folder = stage_folder(run, stage)
    if not has_search(folder):
        return ""
    try:
        stage_settings(run, stage)
    except DamagedFileError:
        aside = set_aside(folder)
        return f"{folder / 'search.json'} is missing or damaged; the search is set aside as {aside.name}"
    line = problem_log(folder).mend()
    if line:
        (folder / PAGE).unlink(missing_ok=True)
    return line


def _mend_summary(folder: Path, summary: Summary) -> str:
    path = folder / _SUMMARY
    there = path.exists()
    if there:
        try:
            read_summary(folder)
        except DamagedFileError:
            aside = set_aside(path)
        else:
            return ""
    elif summary == Summary():
        return ""
    write_text(path, json.dumps(summary.to_json(), indent=2) + "\n")
    how = f"is damaged and set aside as {aside.name}" if there else "is missing"
    return f"{path} {how}; it is made again, and stages are evaluated again"


def _whole_rows(folder: Path) -> Iterator[UpdateRow]:
    log = metrics_log(folder)
    if not log.path.exists():
        return
    for line in log.path.read_bytes().split(b"\n")[:-1]:
        try:
            yield log.parse(line)
        except RunFolderError:
            continue


def _replayed(folder: Path, rows: list[UpdateRow]) -> tuple[BestModel | None, int | None]:
    """The best model and the early stop that the logged evaluations led to."""
    try:
        settings = EvalConfig.model_validate(
            yaml.safe_load((folder / "config.yaml").read_text()).get("eval", {})
        )
    except (OSError, ValueError, yaml.YAMLError, AttributeError, ValidationError):
        return None, None
    splits = settings.every_splits or settings.splits
    if settings.best is None or not splits:
        return None, None
    sizes = {file.update: file for file in during_log(folder).files()}
    best: BestModel | None = None
    for row in rows:
        prefix = f"eval_{splits[0]}"
        if f"{prefix}/accuracy" not in row.metrics:
            continue
        logged = _Logged(
            num_problems=_num_problems(sizes.get(row.update), splits[0])
            or min(settings.every_problems, settings.num_problems),
            accuracy=row.metrics[f"{prefix}/accuracy"],
            verified=row.metrics.get(f"{prefix}/verified"),
            steps_per_correct=row.metrics.get(f"{prefix}/steps_per_correct"),
        )
        best = next_best(best, row.update, settings.best, splits[0], logged)
        if is_over(settings, best, row.update):
            return best, row.update
    return best, None


def _num_problems(file: TrajectoryFile | None, split: str) -> int:
    """Problems of a split that an evaluation kept completions of; 0 where they cannot be read."""
    if file is None:
        return 0
    try:
        rows = file.read(["split", "index"]).to_pylist()
    except RunFolderError:
        return 0
    return len({row["index"] for row in rows if row["split"] == split})
