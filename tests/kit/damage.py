"""Ways in which a file of a folder is damaged, as disks, copies and people do it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, Path, float], None]


def flip(file: Path, other: Path, where: float) -> None:
    """One bit is another."""
    data = bytearray(file.read_bytes())
    at = int(where * (len(data) * 8 - 1))
    data[at // 8] ^= 1 << at % 8
    file.write_bytes(data)


def truncate(file: Path, other: Path, where: float) -> None:
    """The end is missing."""
    data = file.read_bytes()
    file.write_bytes(data[: int(where * (len(data) - 1))])


def zero_tail(file: Path, other: Path, where: float) -> None:
    """The end, as long as before, is zeros: a block that never reached the disk."""
    data = file.read_bytes()
    kept = int(where * (len(data) - 1))
    file.write_bytes(data[:kept] + bytes(len(data) - kept))


def lose(file: Path, other: Path, where: float) -> None:
    """The file is gone."""
    file.unlink()


def empty(file: Path, other: Path, where: float) -> None:
    """Nothing was written to it."""
    file.write_bytes(b"")


def swap(file: Path, other: Path, where: float) -> None:
    """It is that of another checkpoint."""
    shutil.copy(other / file.name, file)


def become_folder(file: Path, other: Path, where: float) -> None:
    """A folder has its name."""
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage for damage in (flip, truncate, zero_tail, lose, empty, swap, become_folder)
}


def damaged(name: str, file: Path, other: Path, where: float) -> bool:
    """Damage a file; returns whether it differs now (a file of another checkpoint may be the same).

    Args:
        name: The damage, of `DAMAGES`.
        file: The file.
        other: Another checkpoint.
        where: The place in the file, from 0 to 1.
    """
    before = file.read_bytes()
    DAMAGES[name](file, other, where)
    return not file.is_file() or file.read_bytes() != before


def put_back(file: Path, content: bytes) -> None:
    """Undo a damage."""
    if file.is_dir():
        file.rmdir()
    file.write_bytes(content)
