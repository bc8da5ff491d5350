"""The completions of a run by update, one Parquet file for each.

In: the rows of an update (`tables.py`), group by group. Out: `update-000123.parquet` in a folder, and rows,
columns or single row groups of it again. Writing holds one row group in memory, and nothing reads a file
in order to write another or to resume a run: rows that a resumed run writes again are dropped by deleting
the files of their updates. `pandas.read_parquet` reads a file or the whole folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from rl.runs.files import sync_folder
from rl.runs.json_fields import RecordError
from rl.runs.log import damaged, other_format
from rl.runs.record import FORMAT, FormatError, SampleRow
from rl.runs.tables import FORMAT_KEY, TOKEN_COLUMNS, has_tokens, part_names, table_of_today, to_rows, to_table

T = TypeVar("T")

_NAME: Final = re.compile(r"update-([0-9]{6,})\.parquet")
_READ: Final = tuple(str(number).encode() for number in range(1, FORMAT + 1))
_MAGIC: Final = b"PAR1"
"""What a Parquet file begins and ends with."""

_ROWS = 8192
_TOKENS = 1_000_000
"""A row group ends after this many rows or tokens."""


@dataclass(frozen=True, slots=True)
class TrajectoryFile:
    """The completions of one update.

    Attributes:
        path: The file.
        update: The update.
    """

    path: Path
    update: int

    def open(self) -> pq.ParquetFile:
        """The file, opened.

        Raises:
            RunFolderError: It cannot be read, has another format or is damaged.
        """
        file = self._readable(lambda: pq.ParquetFile(self.path))
        found = (file.schema_arrow.metadata or {}).get(FORMAT_KEY)
        if found not in _READ:
            raise other_format(
                self.path, FormatError.of(None if found is None else found.decode(errors="replace"))
            )
        return file

    def read(self, columns: Sequence[str] | None = None, *, row_group: int | None = None) -> pa.Table:
        """The file or a row group of it.

        Args:
            columns: Columns to read, as far as the file has them; None: all.
            row_group: Number of the row group; None: all.

        Raises:
            RunFolderError: As `open`.
        """
        with self.open() as file:
            kept = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            numbers = range(file.num_row_groups) if row_group is None else [row_group]
            return self._readable(
                lambda: table_of_today(file.read_row_groups(list(numbers), columns=kept, use_threads=False))
            )

    def rows(self, *, tokens: bool = True) -> list[SampleRow]:
        """The rows.

        Args:
            tokens: Whether to read the tokens of completions, which are most of a file.

        Raises:
            RunFolderError: As `open`.
        """
        with self.open() as file:
            names = [name for name in file.schema_arrow.names if tokens or name not in TOKEN_COLUMNS]
        return self.parse(self.read(names))

    def parse(self, table: pa.Table) -> list[SampleRow]:
        """The rows of a table that was read from this file.

        Raises:
            RunFolderError: They are no completions.
        """
        return self._readable(lambda: to_rows(table))

    def is_whole(self) -> bool:
        """Whether it begins and ends as such a file does; nothing between is read."""
        try:
            with self.path.open("rb") as file:
                first = file.read(len(_MAGIC))
                file.seek(-len(_MAGIC), os.SEEK_END)
                return first == file.read() == _MAGIC
        except OSError:
            return False

    def _readable(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (pa.ArrowException, RecordError, OSError, KeyError) as error:
            raise damaged(self.path, str(error).partition("\n")[0]) from None


class TrajectoryLog:
    """A folder with the completions of some updates; absent while there are none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[TrajectoryFile]:
        """The files, by update."""
        found = [(match, path) for path in self.path.glob("*") if (match := _NAME.fullmatch(path.name))]
        files = [TrajectoryFile(path, int(match[1])) for match, path in found]
        return sorted(files, key=lambda file: file.update)

    def write(self, update: int, rows: Iterable[SampleRow]) -> None:
        """Write the completions of an update, over those that are there.

        A kill leaves the old file or the new one. Whether the file has tokens, and which reward parts, is
        what the first rows have.

        Args:
            update: The update.
            rows: Its rows, taken one by one: about a million tokens of them are held at a time. Without any,
                nothing is written.

        Raises:
            ValueError: A row has a reward part that the first rows lack.
            OSError: The file cannot be written.
        """
        batches = _batches(rows)
        first = next(batches, None)
        if first is None:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / f"update-{update:06}.parquet"
        temporary = path.with_name(f".{path.name}.tmp")  # a leading dot: readers of the folder pass over it
        parts, tokens = part_names(first), has_tokens(first)
        table = to_table(first, parts=parts, tokens=tokens)
        with pq.ParquetWriter(temporary, table.schema, compression="zstd") as writer:
            writer.write_table(table)
            for batch in batches:
                writer.write_table(to_table(batch, parts=parts, tokens=tokens))
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        sync_folder(self.path)

    def read(self, *, tokens: bool = True) -> list[SampleRow]:
        """All rows, by update.

        Raises:
            RunFolderError: A file cannot be read, has another format or is damaged.
        """
        return [row for file in self.files() for row in file.rows(tokens=tokens)]

    def forget_after(self, update: int) -> None:
        """Delete the files of later updates, and what a kill has left; no file is read."""
        for path in self.path.glob(".*.tmp"):
            path.unlink()
        for file in self.files():
            if file.update > update:
                file.path.unlink()


def _batches(rows: Iterable[SampleRow]) -> Iterator[list[SampleRow]]:
    """The rows of each row group."""
    batch: list[SampleRow] = []
    tokens = 0
    for row in rows:
        batch.append(row)
        tokens += row.tokens
        if len(batch) == _ROWS or tokens >= _TOKENS:
            yield batch
            batch, tokens = [], 0
    if batch:
        yield batch


def trajectory_log(folder: Path) -> TrajectoryLog:
    """The completions that GRPO sampled."""
    return TrajectoryLog(folder / "trajectories")


def during_log(folder: Path) -> TrajectoryLog:
    """The completions of the evaluations during GRPO."""
    return TrajectoryLog(folder / "eval" / "during")
