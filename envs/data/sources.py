"""Records of a source: JSON, CSV, TSV and parquet files, folders saved by `datasets`, and data sets of the hub.

In: a path or the id of a data set. Out: its records in order, and a fault for every record that cannot be read.
What makes the whole source unreadable is an error.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.data.rows import FaultKind, RowFault

Record = Mapping[str, Any]

_JSON = (".jsonl", ".json", ".ndjson")
_TABLES = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_JSON, *_TABLES, ".parquet")
_HUB_ID = re.compile(
    r"(?P<name>[A-Za-z0-9_-][A-Za-z0-9_.-]*/[A-Za-z0-9_-][A-Za-z0-9_.-]*)(?::(?P<split>[^@]+))?(?:@(?P<config>[^@]+))?"
)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as Windows saves "Unicode"
_MAX_CELL = 10_000_000  # characters; the csv module's own limit is 131,072


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What a source holds.

    Attributes:
        records: Each record that could be read, with its position from 1.
        faults: The others.
    """

    records: tuple[tuple[int, Record], ...]
    faults: tuple[RowFault, ...] = ()


def read_source(source: str) -> Table:
    """Read a source.

    Args:
        source: A path; `folder:split` for a folder with several splits; or `owner/name[:split][@config]` for a
            data set of the hub, which is meant only where no such path exists.

    Raises:
        ValueError: There is no such source, or it lacks the format of its suffix; the message is one line.
    """
    if Path(source).is_file():
        return _read_file(Path(source))
    name, _, part = source.partition(":")
    path = Path(name)
    if path.is_dir():
        return _numbered(_folder(path, part))
    if path.is_file():
        raise ValueError(f"{source}: only folders and data sets of the hub have splits; leave ':{part}' out")
    hub_id = _HUB_ID.fullmatch(source)
    if hub_id is not None and Path(hub_id["name"]).suffix not in _SUFFIXES:
        return _numbered(_hub(hub_id["name"], hub_id["split"], hub_id["config"]))
    raise ValueError(
        f"{name} is neither a file nor a folder; give a JSON, CSV, TSV or parquet file, a folder saved by "
        "datasets, or a data set of the hub as owner/name:split"
    )


def _numbered(records: Iterable[Record]) -> Table:
    return Table(records=tuple(enumerate(records, 1)))


def _read_file(path: Path) -> Table:
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f"{path} ends in {path.suffix!r}; give a file with {', '.join(_SUFFIXES)}, or a folder saved by "
            "datasets"
        )
    if path.suffix == ".parquet":
        return _numbered(_parquet(path))
    _check_utf8(path)
    if path.suffix in _TABLES:
        return _delimited(path, _TABLES[path.suffix])
    return _json(path)


def _check_utf8(path: Path) -> None:
    """Refuse a text file in another encoding, as spreadsheets save them, and name the place.

    Raises:
        ValueError: Names file, line and byte.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                encoding = "utf-16" if number == 1 and line[:2] in _UTF16_MARKS else "cp1252"
                raise ValueError(
                    f"{path} line {number} is not UTF-8 (byte 0x{line[error.start]:02x} at column "
                    f"{error.start + 1}); save the file as UTF-8, or convert it: iconv -f {encoding} -t utf-8"
                ) from None


def _json(path: Path) -> Table:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        try:
            whole = json.loads(text)
        except ValueError as error:
            if text.lstrip()[:1] == "[":
                raise ValueError(f"{path} is not JSON: {error}") from None
        except RecursionError:
            raise ValueError(f"{path} is JSON nested too deep") from None
        else:
            return _checked(str(path), enumerate(_array(path, whole), 1))
    return _json_lines(path, text)


def _array(path: Path, whole: object) -> list[object]:
    """The records of a `.json` file: an array, the only array of objects in an object, or one object."""
    if isinstance(whole, dict):
        lists = {
            key: value
            for key, value in whole.items()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        }
        if len(lists) == 1:
            return list(lists.popitem()[1])
        columns = [value for value in whole.values() if isinstance(value, list)]
        if len(lists) > 1 or (len(columns) > 1 and len(columns) == len(whole)):
            raise ValueError(
                f"{path} holds {len(lists or columns)} lists ({', '.join(lists or whole)}); give one list of "
                "objects"
            )
        return [whole]
    if isinstance(whole, list):
        return whole
    raise ValueError(
        f"{path} holds a {type(whole).__name__}; give a list of objects, or an object in each line"
    )


def _json_lines(path: Path, text: str) -> Table:
    numbered, faults = [], []
    number = 0
    for at, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        number += 1
        try:
            numbered.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            reason = f"line {at} is not JSON: {error}"
            faults.append(RowFault(source=str(path), number=number, kind=FaultKind.RECORD, reason=reason))
    table = _checked(str(path), numbered)
    found = sorted((*faults, *table.faults), key=lambda fault: fault.number)
    return Table(records=table.records, faults=tuple(found))


def _checked(source: str, numbered: Iterable[tuple[int, object]]) -> Table:
    """Separate objects from whatever else a JSON file can hold."""
    records: list[tuple[int, Record]] = []
    faults = []
    for number, record in numbered:
        if isinstance(record, dict):
            records.append((number, record))
        else:
            reason = f"a {type(record).__name__}, not an object with columns"
            faults.append(RowFault(source=source, number=number, kind=FaultKind.RECORD, reason=reason))
    return Table(records=tuple(records), faults=tuple(faults))


def _delimited(path: Path, delimiter: str) -> Table:
    """A CSV or TSV file with a header. Cells stay text, and an empty one is a missing value."""
    csv.field_size_limit(_MAX_CELL)
    records: list[tuple[int, Record]] = []
    faults = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            header = next(reader, [])
            for number, cells in enumerate((cells for cells in reader if cells), 1):
                if len(cells) != len(header):
                    counts = f"{len(cells)} cells under {len(header)} columns"
                    reason = f"{counts}; put texts with {delimiter!r} in quotes"
                    faults.append(
                        RowFault(source=str(path), number=number, kind=FaultKind.RECORD, reason=reason)
                    )
                else:
                    records.append(
                        (number, {name: cell or None for name, cell in zip(header, cells, strict=True) if name})
                    )
        except csv.Error as error:
            raise ValueError(f"{path} line {reader.line_num} cannot be read: {error}") from None
    return Table(records=tuple(records), faults=tuple(faults))


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow  # imported here because it takes a second
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from None
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _folder(path: Path, part: str) -> Iterable[Record]:
    import datasets

    try:
        found = datasets.load_from_disk(str(path), keep_in_memory=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a folder saved by datasets: {_first_line(error)}") from None
    if isinstance(found, datasets.DatasetDict):
        return _pick_split(str(path), found, part)
    if part:
        raise ValueError(f"{path} has no splits; leave ':{part}' out")
    return _records(found)


def _hub(name: str, part: str | None, config: str | None) -> Iterable[Record]:
    import datasets

    try:
        found = datasets.load_dataset(name, config, split=part)
    except (
        Exception
    ) as error:  # a missing data set, no connection and a wrong config raise errors of many libraries
        raise ValueError(
            f"{name} is no path here, and cannot be loaded from the hub: {_first_line(error)}; check the "
            "spelling (owner/name:split@config) and the connection, or give a file"
        ) from None
    return _pick_split(name, found, "") if isinstance(found, dict) else _records(found)


def _pick_split(name: str, found: Mapping[Any, Any], part: str) -> Iterable[Record]:
    if not part and len(found) == 1:
        part = str(next(iter(found)))
    if part not in found:
        splits = ", ".join(map(str, found))
        raise ValueError(f"{name} has the splits {splits}; name one, as in '{name}:{next(iter(found))}'")
    return _records(found[part])


def _records(dataset: Any) -> Iterable[Record]:
    records: Iterable[Record] = dataset.to_list()
    return records


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
