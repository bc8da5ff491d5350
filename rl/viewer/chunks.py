"""Rows in chunks of some hundred, which the page loads on demand.

In: files of rows. Out: chunks of JSON lines, compressed by gzip. Only the positions of chunks stay in memory; a
chunk is read from its file and compressed when it is requested. The files stay open, so nothing changes if a
run appends to a file or replaces it meanwhile.
"""

from __future__ import annotations

import gzip
import json
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ROWS = 256
_BYTES = 1_000_000
"""A chunk ends after this many rows or bytes. The page loads a whole chunk to show one of its rows."""


class _Place(NamedTuple):
    file: int
    start: int
    end: int


class Chunks:
    """Chunks by number.

    Attributes:
        starts: Number of the first row of each chunk.
    """

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._num_rows = 0
        self._places: list[_Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> bytes:
        """One chunk, compressed; safe to call from several threads."""
        file, start, end = self._places[number]
        lines = os.pread(file, end - start, start).split(b"\n")
        text = b"\n".join([_standard_json(line) for line in lines if line.strip()])
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
                    self._close(_Place(descriptor, start, at), num_rows)
                    start, num_rows = at, 0
        self._close(_Place(descriptor, start, at), num_rows)

    def _close(self, place: _Place, num_rows: int) -> None:
        if num_rows:
            self.starts.append(self._num_rows)
            self._places.append(place)
            self._num_rows += num_rows


def _standard_json(line: bytes) -> bytes:
    """A line with null for NaN and Infinity, which JSON in JavaScript does not have."""
    if b"NaN" not in line and b"Infinity" not in line:
        return line
    return json.dumps(json.loads(line, parse_constant=lambda name: None)).encode("ascii")
