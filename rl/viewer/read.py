"""Run folders, read once.

In: run folders. Out: `Trajectories`: columns to filter by, and chunks of rows, which the page gets in pieces,
over HTTP or out of itself.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.runs.folder import RunFolderError
from rl.runs.record import Change
from rl.viewer.chunks import Chunks, parse_row
from rl.viewer.columns import Columns
from rl.viewer.sources import Source, find_sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectories:
    """What the page is made of.

    Attributes:
        title: The runs it shows, by name.
        num: Number of trajectories.
        columns: What `Columns.pack` gives, compressed by gzip.
        chunks: The rows, in the order of the columns.
    """

    title: str
    num: int
    columns: bytes
    chunks: Chunks


def read_trajectories(folders: Sequence[Path]) -> Trajectories:
    """Read all trajectories of some runs.

    Raises:
        RunFolderError: A folder holds no run or no trajectories, or one of its files is damaged.
    """
    sources = find_sources(folders)
    columns, chunks = Columns(), Chunks()
    listed = []
    for number, source in enumerate(sources):
        before = columns.num
        _read(source, number, columns, chunks)
        listed.append(
            {
                "key": source.key,
                "label": source.label,
                "stage": source.stage,
                "evaluated": source.evaluated,
                "num": columns.num - before,
            }
        )
    title = ", ".join(dict.fromkeys(source.key.rpartition("/")[0] for source in sources))
    packed = columns.pack(
        title=title,
        sources=listed,
        changes=[[change.name.lower(), change.value] for change in Change],
        starts=chunks.starts,
    )
    compressed = gzip.compress(packed, compresslevel=1, mtime=0)
    return Trajectories(title=title, num=columns.num, columns=compressed, chunks=chunks)


def _read(source: Source, number: int, columns: Columns, chunks: Chunks) -> None:
    num = columns.num
    try:
        for line in chunks.lines(source.path):
            columns.append(number, parse_row(line))
    except OSError as error:
        raise RunFolderError(f"{source.path} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        lacks = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"{source.path}: row {columns.num - num + 1} is no trajectory: {lacks}; the file is damaged, "
            "restore it or move it out of the folder"
        ) from None
