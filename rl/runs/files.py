"""How a run writes small files and puts damaged ones aside, so that a kill or a power cut loses neither."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a kill or a power cut leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder, such as after a rename, outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Rename a damaged file or folder to one that no reader looks for; returns it, and overwrites nothing.

    Args:
        path: The file or folder.
        why: What its new name ends in.
    """
    number, aside = 1, path.with_name(f"{path.name}.{why}")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{why}-{number}")
    path.rename(aside)
    return aside
