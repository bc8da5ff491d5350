"""Reads run folders for the viewer.

In: run folders. Out: `Trajectories`: columns to filter by, and chunks of rows, which the page loads one by one,
over HTTP or from its own HTML.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from rl.runs.changes import Change
from rl.runs.errors import RunFolderError
from rl.runs.log import RowLog
from rl.runs.record import SampleRow
from rl.runs.tables import part_names, to_table
from rl.viewer.chunks import Chunks
from rl.viewer.columns import READ, Columns
from rl.viewer.sources import Source, find_sources

_BATCH = 1024  # rows of a JSON file that become one table


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


def read_trajectories(folders: Sequence[Path], updates: range | None = None) -> Trajectories:
    """Read the trajectories of some runs, without what only a shown row needs.

    Args:
        folders: The runs.
        updates: Updates whose training samples and evaluations during training are read; None: all. Evaluated
            stages are always read.

    Raises:
        RunFolderError: A folder holds no run or no trajectories of these updates, or a file of it has another
            format or is damaged.
    """
    sources = find_sources(folders, updates)
    columns, chunks = Columns(), Chunks()
    listed = []
    for number, source in enumerate(sources):
        before = columns.num
        for table in _tables(source, chunks):
            columns.append(number, table)
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


def _tables(source: Source, chunks: Chunks) -> Iterator[pa.Table]:
    """The rows of a source as tables with the columns to filter by, while they are added to the chunks."""
    if isinstance(source.rows, RowLog):
        yield from _tables_of_lines(source.rows, chunks)
    else:
        for file in source.rows:
            yield chunks.table(file, READ)


def _tables_of_lines(log: RowLog[SampleRow], chunks: Chunks) -> Iterator[pa.Table]:
    lines = chunks.lines(log.path)
    try:
        while batch := [log.parse(line, place, tokens=False) for place, line in islice(lines, _BATCH)]:
            yield to_table(batch, parts=part_names(batch), tokens=False)
    except OSError as error:
        raise RunFolderError(f"{log.path} cannot be read: {error.strerror or error}") from None
    except OverflowError as error:
        raise RunFolderError(
            f"{log.path} cannot be read: a number is too large ({error}); restore the file or move it out of "
            "the folder"
        ) from None
