"""Columns by which the page filters and sorts trajectories without loading their rows.

In: the rows of a run, as tables. Out: one block of bytes: the length of a JSON header (4 bytes,
little-endian), the header, and the columns as arrays. Each array starts at a multiple of 8 bytes and has
the smallest type that holds its values. Split, outcome and environment are stored as numbers of the names
that the header lists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ALIGNMENT = 8
_NAMED = ("split", "outcome", "env")
_COUNTS = ("update", "sample", "index", "full_steps", "tokens")
_RENAMED = {"steps": "num_steps", "backtracks": "num_backtracks", "invalid": "num_invalid"}
_NUMBERS = ("reward", "advantage")
_RIGHT = ("verified", "correct")
_TYPES: tuple[tuple[str, type[np.unsignedinteger[Any]]], ...] = (
    ("Uint8Array", np.uint8),
    ("Uint16Array", np.uint16),
    ("Uint32Array", np.uint32),
)

READ: Final = (
    *(*_NAMED, *_COUNTS, *_RENAMED.values(), *_NUMBERS),
    *("group", "prompt", "answer", "steps_checked", "parts"),
)
"""The columns of a table of rows that are read here; `parts` may be missing."""

_Integers = npt.NDArray[np.int64]


class Columns:
    """Columns that grow table by table.

    ======================= ===================================================================
    source                  number of the file
    split, outcome, env     number of the name in the header's `names`
    problem                 equal for rows with the same place, prompt and answer
    place                   equal for rows of one environment, split and index
    group                   equal for the samples of one problem that were drawn together
    update, sample, ...     as in the row; NaN if it is not finite
    steps                   all lines but backtrack lines
    backtracks              backtrack lines and markers
    invalid                 invalid lines
    right                   1 if the answer is right, else 0
    checked                 1 if the task checks steps, else 0
    advantage               of the completion, or the mean over its tokens; NaN if not recorded
    part:NAME               a part of the reward; NaN if the row does not have it
    ======================= ===================================================================
    """

    def __init__(self) -> None:
        self.num = 0
        self._blocks: list[dict[str, npt.NDArray[Any]]] = []
        self._codes: dict[str, dict[Hashable, int]] = {}

    def append(self, source: int, table: pa.Table) -> None:
        """Add the rows of a table to those of a source."""
        num = len(table)
        named = {name: self._name_codes(name, table[name]) for name in _NAMED}
        counts = {name: table[name].to_numpy() for name in (*_COUNTS, "group")}
        place = self._row_codes("place", (named["env"], named["split"], counts["index"]))
        texts = [self._text_codes(table[name]) for name in ("prompt", "answer")]
        sources = np.full(num, source, np.int64)
        outcomes, places = _dictionary(table["outcome"])
        block = {
            "source": sources,
            **named,
            **{name: counts[name] for name in _COUNTS},
            **{name: table[column].to_numpy() for name, column in _RENAMED.items()},
            **{name: _numbers(table[name]) for name in _NUMBERS},
            "right": np.isin(outcomes, _RIGHT).astype(np.int64)[places],
            "checked": table["steps_checked"].to_numpy().astype(np.int64),
            "place": place,
            "problem": self._row_codes("problem", (place, *texts)),
            "group": self._row_codes("group", (sources, counts["update"], counts["group"], place)),
        }
        if "parts" in table.column_names:
            parts = table["parts"].combine_chunks()
            names = [parts.type.field(number).name for number in range(parts.type.num_fields)]
            block |= {f"part:{name}": _numbers(parts.field(name)) for name in names}
        self._blocks.append({name: _smallest(values)[1] for name, values in block.items()})
        self.num += num

    def pack(self, **header: object) -> bytes:
        """All columns as bytes, with these fields added to the header."""
        arrays, places, at = [], {}, 0
        for name in dict.fromkeys(name for block in self._blocks for name in block):
            kind, packed = _smallest(self._whole(name))
            places[name] = {"type": kind, "at": at}
            data = packed.tobytes()
            arrays.append(data + bytes(-len(data) % _ALIGNMENT))
            at += len(arrays[-1])
        named = {name: list(self._codes.get(name, {})) for name in _NAMED}
        text = json.dumps({**header, "num": self.num, "names": named, "columns": places}).encode("ascii")
        text += b" " * (-(4 + len(text)) % _ALIGNMENT)
        return b"".join([len(text).to_bytes(4, "little"), text, *arrays])

    def _whole(self, name: str) -> npt.NDArray[Any]:
        """A column; NaN where a table does not have it."""
        missing = np.full(1, np.nan)
        blocks = [block.get(name, np.broadcast_to(missing, len(block["source"]))) for block in self._blocks]
        return np.concatenate(blocks)

    def _code(self, name: str, value: Hashable) -> int:
        codes = self._codes.setdefault(name, {})
        return codes.setdefault(value, len(codes))

    def _name_codes(self, name: str, column: pa.ChunkedArray) -> _Integers:
        """Numbers of the texts of a column."""
        texts, places = _dictionary(column)
        return np.array([self._code(name, text) for text in texts], np.int64)[places]

    def _text_codes(self, column: pa.ChunkedArray) -> _Integers:
        """Numbers of the texts of a column, of which only a hash is kept: prompts are long."""
        texts, places = _dictionary(column)
        hashes = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        return np.array([self._code("text", digest) for digest in hashes], np.int64)[places]

    def _row_codes(self, name: str, columns: Sequence[_Integers]) -> _Integers:
        """Numbers of the rows of several columns of integers, by first appearance."""
        rows, first, places = np.unique(
            np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True
        )
        codes = np.zeros(len(rows), np.int64)
        for at in np.argsort(first):
            codes[at] = self._code(name, tuple(rows[at].tolist()))
        return codes[places.reshape(-1)]


def _dictionary(column: pa.ChunkedArray) -> tuple[list[str], _Integers]:
    """The different texts of a column by first appearance, and the number of each row's."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _numbers(column: Any) -> npt.NDArray[np.float64]:
    """Numbers, NaN where there is none or it is not finite."""
    values = np.array(column.to_numpy(zero_copy_only=False), np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _smallest(values: npt.NDArray[Any]) -> tuple[str, npt.NDArray[Any]]:
    """Values in the smallest array that holds them, after the name of its type in JavaScript."""
    if np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all():
        for name, kind in _TYPES:
            if values.max(initial=0) <= np.iinfo(kind).max:
                return name, values.astype(kind)
    return "Float64Array", values.astype(np.float64)
