"""A run's checkpoints: written whole, verified before a run goes on from one.

::

    checkpoints/<stage>/checkpoint-<update>/
        model, optimizer, scheduler, random states      written by transformers' Trainer
        stride_state.json       the update, and where GRPO's data stood after it
        stride_manifest.json    size and SHA-256 of every other file

A checkpoint gets its name when it is whole and on the disk; only then are older ones removed. On resume the
newest one is read and compared with its manifest. A damaged one is said, kept as `checkpoint-<update>.damaged`,
and the one before it takes its place. A run never starts a stage over while it has checkpoints, damaged or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rl.runs.errors import RunFolderError
from rl.runs.manifest import MANIFEST, find_damage, folder_bytes, has_manifest
from rl.runs.older_checkpoints import find_fault_of_older
from rl.runs.record import Stage
from rl.runs.saving import remove_folder, remove_leftovers, whole_folder

STATE = "stride_state.json"
"""What Stride goes on with, beside the Trainer's own files."""

_FORMAT = 1
_DAMAGED = ".damaged"


def checkpoints(run: Path, stage: Stage) -> Path:
    """The folder of a stage's checkpoints."""
    return run / "checkpoints" / stage


def checkpoint_update(path: Path) -> int:
    """The update after which a checkpoint was written."""
    return int(path.name.rpartition("-")[2])


def latest_checkpoint(run: Path, stage: Stage) -> Path | None:
    """A stage's newest complete checkpoint; None if there is none. Sizes are compared, no content is read."""
    return next(
        (path for path in newest_first(checkpoints(run, stage)) if not find_fault(path, hashes=False)), None
    )


def checkpoint_to_resume(run: Path, stage: Stage, say: Callable[[str], None]) -> Path | None:
    """A stage's newest checkpoint that verifies; None if it has none at all.

    Newer ones, which are damaged, are renamed to `checkpoint-<update>.damaged`.

    Args:
        run: Folder of the run, which is locked.
        stage: The stage.
        say: Called with a line for each damaged checkpoint, and where one cannot be verified.

    Raises:
        RunFolderError: There are checkpoints and none verifies.
    """
    folder = checkpoints(run, stage)
    remove_leftovers(folder)
    damaged: list[tuple[Path, str]] = []
    for path in newest_first(folder):
        if fault := find_fault(path):
            damaged.append((path, fault))
            continue
        for bad, fault in damaged:
            kept = _set_aside(bad).name
            say(f"{stage.label}: {bad.name} is damaged: {fault}; kept as {kept}, {path.name} is used instead")
        if not has_manifest(path):
            say(f"{stage.label}: {path.name} is of an older version, without {MANIFEST}; it is used unverified")
        return path
    earlier = [path.name for path in sorted(folder.glob(f"checkpoint-*{_DAMAGED}*"))]
    found = [f"{path.name} ({fault})" for path, fault in damaged] + earlier
    if found:
        raise RunFolderError(
            f"--resume: no checkpoint of {stage.label} in {folder} can be used: {', '.join(found)}; put back a "
            "copy of one, or start a new run in another output_dir"
        )
    return None


def save_checkpoint(
    folder: Path,
    update: int,
    write: Callable[[Path], None],
    state: Mapping[str, Any],
    *,
    keep: int,
    needed: int = 0,
) -> Path:
    """Write a checkpoint whole, then remove older ones. One of the same update that verifies is left as it is.

    Args:
        folder: The stage's, see `checkpoints`.
        update: The update after which it is written.
        write: Writes the Trainer's files into the empty folder that it is given.
        state: Of GRPO's data, as plain JSON; empty in the warm start.
        keep: Checkpoints that stay, this one included.
        needed: Bytes that the first one will take; for later ones the size of the one before is known.

    Returns:
        The checkpoint.

    Raises:
        DiskError: It could not be written. Nothing of it is left, and no other one was removed.
    """
    path = folder / f"checkpoint-{update}"
    if path.exists():
        if not find_fault(path):
            return path
        _set_aside(path)
    before = next(iter(newest_first(folder)), None)
    with whole_folder(path, needed=folder_bytes(before) if before else needed) as new:
        write(new)
        (new / STATE).write_text(json.dumps({"format": _FORMAT, "update": update, **state}))
    for old in newest_first(folder)[keep:]:
        remove_folder(old)
    return path


def find_fault(path: Path, *, hashes: bool = True) -> str:
    """What is wrong with a checkpoint, as `optimizer.pt is missing`; empty if it verifies.

    Args:
        path: The checkpoint.
        hashes: Read every file and compare its SHA-256; False: compare sizes alone.
    """
    if not has_manifest(path):
        return find_fault_of_older(path, state=STATE, needs_state=path.parent.name == Stage.GRPO)
    if damage := find_damage(path, hashes=hashes):
        return damage
    state = json.loads((path / STATE).read_text())
    if state["update"] != checkpoint_update(path):
        return f"it is the checkpoint of update {state['update']}"
    return ""


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in a stage's folder, damaged or not, without those that were set aside."""
    found = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-[0-9]+", path.name)]
    return sorted(found, key=checkpoint_update, reverse=True)


def _set_aside(path: Path) -> Path:
    kept, number = path.with_name(path.name + _DAMAGED), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{_DAMAGED}-{number}")
    return path.rename(kept)
