"""Checkpoints of a Stride that wrote no manifest: whether they look whole, which is all that can be known.

Every file that a run goes on with must be there and end where its format says. A changed byte goes unnoticed.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from rl.runs.manifest import MANIFEST

_FILES = ("optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")


def find_fault_of_older(path: Path, *, state: str, needs_state: bool) -> str:
    """What is wrong with a checkpoint without a manifest; empty if nothing is seen.

    Args:
        path: The checkpoint.
        state: Name of the file with Stride's state.
        needs_state: Whether the stage has always written that file.
    """
    if _has_format(path / state):
        return f"{MANIFEST} is missing"
    for name in (*_FILES, *([state] if needs_state else [])):
        if not (path / name).is_file():
            return f"{name} is missing"
    if not any((path / name).is_file() for name in _WEIGHTS):
        return f"{_WEIGHTS[0]} is missing"
    for file in sorted(path.iterdir()):
        if not _is_whole(file):
            return f"{file.name} is damaged"
    return ""


def _has_format(state: Path) -> bool:
    """Whether the state was written together with a manifest."""
    try:
        return "format" in json.loads(state.read_text())
    except (OSError, ValueError, TypeError):
        return False


def _is_whole(file: Path) -> bool:
    try:
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix in (".pt", ".pth"):
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is None
        elif file.suffix == ".safetensors":
            return file.stat().st_size == _end_of_safetensors(file)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return False
    return True


def _end_of_safetensors(file: Path) -> int:
    """Where a file of safetensors ends by its header: eight bytes, the header, the tensors."""
    with file.open("rb") as read:
        length = int.from_bytes(read.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError("the header is longer than the file")
        header: dict[str, Any] = json.loads(read.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return 8 + length + max(ends, default=0)
