"""What has become of a run, read from its folder: whether it runs, how far it is, where it would go on.

In: a folder. Out: a `RunState`. Nothing in the folder is changed, whoever writes to it meanwhile, and of large
files only the sizes are compared unless asked, so that hundreds of runs take a second.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from rl.iterate.files import rounds_log
from rl.runs.checkpoints import checkpoint_update, checkpoints, find_fault, newest_first
from rl.runs.errors import DamagedFileError, RunFolderError
from rl.runs.lock import NAME as LOCK
from rl.runs.lock import lock_holder
from rl.runs.log import metrics_log, read_summary
from rl.runs.read import is_run, read_config
from rl.runs.record import SECTIONS, Stage, Summary, planned_stages
from rl.search.expert_record import expert_log

_FILES = (LOCK, "provenance.json", "summary.json", "metrics.jsonl")


class Condition(StrEnum):
    """What has become of a run."""

    RUNNING = "running"
    """A process holds its lock."""
    ENDED = "ended"
    """Every stage is trained and evaluated."""
    INTERRUPTED = "interrupted"
    """It can be continued."""
    DAMAGED = "damaged"
    """It cannot be continued as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """What has become of a run.

    Attributes:
        folder: Its folder.
        condition: What has become of it.
        holder: Who runs it; empty if nobody does.
        stage: The stage of the newest logged update; None before the first.
        update: That update.
        updates: Updates of that stage in all.
        changed: When something was last written, in seconds since 1970.
        checkpoint: The newest checkpoint that is whole; None without one.
        accuracy: Of the last evaluated stage on the first split, 0 to 1; None before the first.
        split: That split.
        faults: What is damaged.
        next: Where it goes on when it is resumed.
        is_loop: Whether it is a step-skipping loop.
    """

    folder: Path
    condition: Condition
    holder: str = ""
    stage: Stage | None = None
    update: int = 0
    updates: int = 0
    changed: float = 0.0
    checkpoint: Path | None = None
    accuracy: float | None = None
    split: str = ""
    faults: tuple[str, ...] = ()
    next: str = ""
    is_loop: bool = False

    @property
    def command(self) -> str:
        """What to type to go on; empty where there is nothing to."""
        if self.condition is not Condition.INTERRUPTED:
            return ""
        return shlex.join(
            [
                "stride",
                "iterate" if self.is_loop else "train",
                str(self.folder / "config.yaml"),
                f"output_dir={self.folder}",
                "--resume",
            ]
        )


def find_runs(root: Path) -> list[Path]:
    """The run folders in a folder, itself included, at any depth; those of an ablation too.

    Raises:
        RunFolderError: There is no such folder.
    """
    if not root.is_dir():
        raise RunFolderError(f"there is no folder {root}; give one that holds runs, such as runs")
    return sorted(_runs_below(root))


def _runs_below(folder: Path) -> Iterator[Path]:
    # A user's own config.yaml may lie beside runs.
    if is_run(folder) and any((folder / name).exists() for name in _FILES):
        yield folder
        return
    try:
        inner = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return
    for path in inner:
        if not path.name.startswith("."):
            yield from _runs_below(path)


def read_state(folder: Path, *, verify: bool = False) -> RunState:
    """The state of a run.

    Args:
        folder: Its folder.
        verify: Read every checkpoint and compare its hashes; else only sizes are compared.
    """
    holder = lock_holder(folder) or ""
    changed = max((path.stat().st_mtime for path in [folder, *folder.glob("*")] if path.exists()), default=0.0)
    try:
        config, summary, row = read_config(folder), read_summary(folder), metrics_log(folder).last()
    except RunFolderError as error:
        mended = isinstance(error, DamagedFileError)  # by `recover.py`, when the run is resumed
        idle = Condition.INTERRUPTED if mended else Condition.DAMAGED
        return RunState(
            folder=folder,
            condition=Condition.RUNNING if holder else idle,
            holder=holder,
            changed=changed,
            faults=(str(error),),
            next="sets what is damaged aside and goes on with what is left" if mended else "",
        )
    if config.get("iterate") or config.get("expert_iteration"):
        return _loop_state(folder, config, holder=holder, changed=changed)
    planned = planned_stages(config)
    found, faults = _checkpoints(folder, verify=verify)
    pending = next(
        (s for s in Stage if (s is Stage.BASE or s in planned) and not summary.done(s, planned.get(s, 0))), None
    )
    lost = pending is not None and _is_lost(pending, summary, planned, found, faults)
    evaluated = next((stage for stage in reversed(Stage) if stage in summary.stages), None)
    split, result = next(iter(summary.stages[evaluated].items()), ("", None)) if evaluated else ("", None)
    if holder:
        condition = Condition.RUNNING
    elif pending is None:
        condition = Condition.ENDED
    else:
        condition = Condition.DAMAGED if lost else Condition.INTERRUPTED
    return RunState(
        folder=folder,
        condition=condition,
        holder=holder,
        stage=row.stage if row else None,
        update=row.update if row else 0,
        updates=planned.get(row.stage, 0) if row else 0,
        changed=changed,
        checkpoint=next((found[stage] for stage in reversed(SECTIONS) if stage in found), None),
        accuracy=result.accuracy if result else None,
        split=split,
        faults=tuple(fault for texts in faults.values() for fault in texts),
        next=_next(pending, summary, planned, found) if pending and not lost else "",
    )


def _loop_state(folder: Path, config: Mapping[str, Any], *, holder: str, changed: float) -> RunState:
    """The state of a loop: a training of it that was cut off goes on from its checkpoint."""
    last = int((config.get("iterate") or config["expert_iteration"])["rounds"])
    trainings = sorted((folder / "trainings").glob("*/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    faults: tuple[str, ...] = ()
    try:
        rounds = _loop_rounds(folder, config)
        row = metrics_log(trainings[-1].parent).last() if trainings else None
    except RunFolderError as error:
        rounds, row, faults = {}, None, (str(error),)
    ended = set(rounds) >= set(range(last + 1)) and not faults
    missing = next(n for n in count() if n not in rounds)
    accuracy = rounds[max(rounds)] if rounds else None
    condition = Condition.ENDED if ended else Condition.INTERRUPTED
    return RunState(
        folder=folder,
        condition=Condition.RUNNING if holder else condition,
        holder=holder,
        stage=row.stage if row else None,
        update=row.update if row else 0,
        updates=row.update if row else 0,
        changed=changed,
        accuracy=accuracy,
        split="" if accuracy is None else "id",
        faults=faults,
        next="" if ended else f"continues round {missing} of {last} where it was cut off",
        is_loop=True,
    )


def _loop_rounds(folder: Path, config: Mapping[str, Any]) -> dict[int, float | None]:
    """The finished rounds of a loop, each with its accuracy on id, where that is known."""
    if config.get("iterate"):
        solved = {row.round: row.solved.get("id") for row in rounds_log(folder).read()}
        return {number: found.accuracy if found else None for number, found in solved.items()}
    return {row.round: row.greedy.get("id") for row in expert_log(folder).read()}


def describe_next(folder: Path, how: str = "--resume") -> str:
    """Where a run goes on, as the end of a message about its being stopped; `how` is what makes it go on."""
    if not is_run(folder):
        return f"nothing was written to {folder}"
    state = read_state(folder)
    if state.faults and not state.next:
        return f"the run in {folder} cannot be continued as it is: {state.faults[0]}"
    return f"{how} {state.next}" if state.next else f"the run in {folder} is finished"


def _checkpoints(folder: Path, *, verify: bool) -> tuple[dict[Stage, Path], dict[Stage, list[str]]]:
    """The newest usable checkpoint by stage, and what is wrong with newer ones."""
    found: dict[Stage, Path] = {}
    faults: dict[Stage, list[str]] = {}
    for stage in SECTIONS:
        for path in newest_first(checkpoints(folder, stage)):
            if fault := find_fault(path, hashes=verify):
                faults.setdefault(stage, []).append(f"{stage} {path.name}: {fault}")
            elif stage not in found:
                found[stage] = path
                if not verify:
                    break
    return found, faults


def _is_lost(
    stage: Stage,
    summary: Summary,
    planned: Mapping[Stage, int],
    found: Mapping[Stage, Path],
    faults: Mapping[Stage, Any],
) -> bool:
    """Whether what a stage would go on from is gone or damaged."""
    return stage in planned and stage not in found and (stage in faults or summary.updates.get(stage, 0) > 0)


def _next(stage: Stage, summary: Summary, planned: Mapping[Stage, int], found: Mapping[Stage, Path]) -> str:
    if stage is Stage.BASE:
        return "evaluates the base model first"
    if stage not in found:
        return f"starts {stage.label} at update 1: nothing of it is saved"
    update, updates = checkpoint_update(found[stage]), planned[stage]
    if summary.stopped is not None and stage is Stage.GRPO:
        updates = min(updates, summary.stopped)
    if update >= updates:
        return f"goes on with the evaluation of {stage.label}"
    return f"continues {stage.label} from update {update}"
