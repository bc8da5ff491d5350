"""The rows themselves, some hundred at a time: read again and compressed when they are asked for.

In: files of rows. Out: chunks: lines of JSON, compressed by gzip. Only the places of the lines are kept, and
the files stay open, so what a run appends or writes anew meanwhile changes nothing.
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
"""A chunk ends at this many rows, or where it has this many bytes: what is fetched to show a single row."""


class _Place(NamedTuple):
    file: int
    start: int
    end: int


class Chunks:
    """Chunks by number; `starts` has the number of the first row of each."""

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
        text = b"\n".join([_proper(line) for line in lines if line.strip()])
        return gzip.compress(text, compresslevel=1, mtime=0)

    def lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """The lines of a file with their numbers from 1, without a last line that is still being written.

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


def _proper(line: bytes) -> bytes:
    """A line as JavaScript reads it, which knows no NaN and no Infinity."""
    if b"NaN" not in line and b"Infinity" not in line:
        return line
    return json.dumps(json.loads(line, parse_constant=lambda name: None)).encode("ascii")
