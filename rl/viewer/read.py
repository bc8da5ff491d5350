"""Reads run folders for the viewer.

In: run folders. Out: `Trajectories`: columns to filter by, and chunks of rows, which the page loads one by one,
over HTTP or from its own HTML.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.runs.changes import Change
from rl.runs.errors import RunFolderError
from rl.viewer.chunks import Chunks
from rl.viewer.columns import Columns
from rl.viewer.sources import Source, find_sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectories:
    """The data of the page.

    Attributes:
        title: Names of the runs.
        num: Number of trajectories.
        columns: The bytes of `Columns.pack`, compressed by gzip.
        chunks: The rows, in the order of the columns.
    """

    title: str
    num: int
    columns: bytes
    chunks: Chunks


def read_trajectories(folders: Sequence[Path]) -> Trajectories:
    """Read all trajectories of some runs.

    Raises:
        RunFolderError: A folder holds no run or no trajectories, or a file of it has another format or is
            damaged.
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
                "greedy": source.greedy,
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
    log = source.log
    try:
        for place, line in chunks.lines(log.path):
            columns.append(number, log.parse(line, place, tokens=False))
    except OSError as error:
        raise RunFolderError(f"{log.path} cannot be read: {error.strerror or error}") from None
