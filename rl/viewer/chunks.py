"""Rows in chunks of some hundred, which the page loads on demand.

In: files of rows. Out: chunks of JSON lines, compressed by gzip. Only the positions of chunks stay in memory; a
chunk is read from its file and compressed when it is requested. A file of JSON lines stays open, so nothing
changes if a run appends to it or replaces it meanwhile; a Parquet file that has been replaced is refused.
"""

from __future__ import annotations

import gzip
import json
import os
import weakref
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rl.runs.errors import RunFolderError
from rl.runs.trajectories import TrajectoryFile

_ROWS = 256
_BYTES = 1_000_000
"""A chunk ends after this many rows or bytes. The page loads a whole chunk to show one of its rows."""

_ROW_BYTES = 1000
_TOKEN_BYTES = 8
_TOKEN_BYTES_LOGGED = 28
"""About how long a Parquet row is in JSON: this much, and this much for each token without and with its text
and log-probability."""


class _Place(Protocol):
    """Where the rows of a chunk are."""

    def lines(self) -> list[bytes]: ...


class _FileLines(NamedTuple):
    """Bytes of an open file of JSON lines."""

    file: int
    start: int
    end: int

    def lines(self) -> list[bytes]:
        return os.pread(self.file, self.end - self.start, self.start).split(b"\n")


class _TableRows(NamedTuple):
    """Rows of a row group of a Parquet file, as it was when it had this signature."""

    file: TrajectoryFile
    signature: tuple[int, int, int]
    row_group: int
    start: int
    num: int

    def lines(self) -> list[bytes]:
        table = _row_group(self.file, self.signature, self.row_group)
        rows = self.file.parse(table.slice(self.start, self.num))
        return [json.dumps(row.to_json()).encode("ascii") for row in rows]


class Chunks:
    """Chunks by number.

    Attributes:
        starts: Number of the first row of each chunk.
        num_bytes: About how long all rows are as JSON.
    """

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.num_bytes = 0
        self._num_rows = 0
        self._places: list[_Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> bytes:
        """One chunk, compressed; safe to call from several threads.

        Raises:
            RunFolderError: Its Parquet file cannot be read any more, or has been replaced.
        """
        text = b"\n".join([_standard_json(line) for line in self._places[number].lines() if line.strip()])
        return gzip.compress(text, compresslevel=1, mtime=0)

    def lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Add the lines of a file: gives each with its number, from 1, but not a last line still being written.

        Raises:
            OSError: The file cannot be read.
        """
        descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        start = num_rows = at = 0
        with open(descriptor, "rb", closefd=False) as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                at += len(line)
                if line.strip():
                    yield number, line
                    num_rows += 1
                if num_rows == _ROWS or at - start >= _BYTES:
                    self._add(_FileLines(descriptor, start, at), num_rows, at - start)
                    start, num_rows = at, 0
        self._add(_FileLines(descriptor, start, at), num_rows, at - start)

    def table(self, file: TrajectoryFile, columns: tuple[str, ...]) -> pa.Table:
        """Add the rows of a Parquet file; returns these columns of them.

        Args:
            file: The file.
            columns: Names of columns, `tokens` among them.

        Raises:
            RunFolderError: It cannot be read, has another format or is damaged.
        """
        with file.open() as opened:
            signature = _signature(file)
            a_token = _TOKEN_BYTES_LOGGED if "pieces" in opened.schema_arrow.names else _TOKEN_BYTES
            sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        table = file.read(columns)
        lengths = _ROW_BYTES + a_token * table["tokens"].to_numpy()
        first = 0
        for group, size in enumerate(sizes):
            for start, num in _cut(lengths[first : first + size]):
                num_bytes = int(lengths[first + start : first + start + num].sum())
                self._add(_TableRows(file, signature, group, start, num), num, num_bytes)
            first += size
        return table

    def _add(self, place: _Place, num_rows: int, num_bytes: int) -> None:
        if num_rows:
            self.starts.append(self._num_rows)
            self._places.append(place)
            self._num_rows += num_rows
            self.num_bytes += num_bytes


def _cut(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each chunk of rows of these lengths."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        full = int(np.searchsorted(ends, before + _BYTES)) + 1  # the first row with which it is full
        num = min(full - start, _ROWS, len(ends) - start)
        yield start, num
        start += num


def _signature(file: TrajectoryFile) -> tuple[int, int, int]:
    """What changes if a file is replaced.

    Raises:
        RunFolderError: There is no such file any more.
    """
    try:
        found = file.path.stat()
    except OSError:
        raise _replaced(file) from None
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _row_group(file: TrajectoryFile, signature: tuple[int, int, int], number: int) -> pa.Table:
    """A row group, kept for the next chunk of it."""
    if _signature(file) != signature:
        raise _replaced(file)
    table = file.read(row_group=number)
    if _signature(file) != signature:  # meanwhile
        raise _replaced(file)
    return table


def _replaced(file: TrajectoryFile) -> RunFolderError:
    return RunFolderError(
        f"{file.path} has been deleted or replaced since it was read; run stride rollouts again"
    )


def _standard_json(line: bytes) -> bytes:
    """A line with null for NaN and Infinity, which JSON in JavaScript does not have."""
    if b"NaN" not in line and b"Infinity" not in line:
        return line
    return json.dumps(json.loads(line, parse_constant=lambda name: None)).encode("ascii")
