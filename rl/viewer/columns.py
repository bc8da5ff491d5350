"""Columns by which the page filters and sorts trajectories without loading their rows.

In: the rows of a run. Out: one block of bytes: the length of a JSON header (4 bytes, little-endian), the
header, and the columns as arrays. Each array starts at a multiple of 8 bytes and has the smallest type that
holds its values. Split, outcome and environment are stored as numbers of the names that the header lists.
"""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from rl.runs.record import SampleRow

_ALIGNMENT = 8
_NAMED = ("split", "outcome", "env")
_NUMBERS = ("update", "sample", "index", "full_steps", "tokens", "reward")
_COUNTED = ("steps", "backtracks", "invalid", "right", "advantage")
_CODED = (*_NAMED, "problem", "place", "group")
_TYPES: tuple[tuple[str, type[np.unsignedinteger[Any]]], ...] = (
    ("Uint8Array", np.uint8),
    ("Uint16Array", np.uint16),
    ("Uint32Array", np.uint32),
)


class Columns:
    """Columns that grow row by row.

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
    advantage               of the completion, or the mean over its tokens; NaN if not recorded
    part:NAME               a part of the reward; NaN if the row does not have it
    ======================= ===================================================================
    """

    def __init__(self) -> None:
        self.num = 0
        columns = ("source", *_CODED, *_NUMBERS, *_COUNTED)
        self._values: dict[str, array[float]] = {name: array("d") for name in columns}
        self._codes: dict[str, dict[object, int]] = {name: {} for name in _CODED}

    def append(self, source: int, row: SampleRow) -> None:
        """Add a row of a source."""
        new = {
            "source": source,
            "split": self._code("split", row.split),
            "outcome": self._code("outcome", row.outcome.value),
            "env": self._code("env", row.env),
            "update": row.update,
            "sample": row.sample,
            "index": row.index,
            "full_steps": row.full_steps,
            "tokens": row.tokens,
            "reward": _finite(row.reward),
            "steps": row.num_steps,
            "backtracks": row.num_backtracks,
            "invalid": row.num_invalid,
            "right": row.correct,
            "advantage": _mean(row.advantage),
            **{f"part:{name}": _finite(value) for name, value in row.parts.items()},
        }
        place = (new["env"], new["split"], new["index"])
        new["place"] = self._code("place", place)
        new["problem"] = self._code("problem", (place, row.prompt, row.answer))
        new["group"] = self._code("group", (source, row.update, row.group, place))
        for name in new.keys() - self._values.keys():
            self._values[name] = array("d", [math.nan]) * self.num
        for name, values in self._values.items():
            values.append(new.get(name, math.nan))
        self.num += 1

    def pack(self, **header: object) -> bytes:
        """All columns as bytes, with these fields added to the header."""
        arrays, places, at = [], {}, 0
        for name, values in self._values.items():
            kind, packed = _smallest(np.frombuffer(values, dtype=np.float64))
            places[name] = {"type": kind, "at": at}
            data = packed.tobytes()
            arrays.append(data + bytes(-len(data) % _ALIGNMENT))
            at += len(arrays[-1])
        named = {name: list(self._codes[name]) for name in _NAMED}
        text = json.dumps({**header, "num": self.num, "names": named, "columns": places}).encode("ascii")
        text += b" " * (-(4 + len(text)) % _ALIGNMENT)
        return b"".join([len(text).to_bytes(4, "little"), text, *arrays])

    def _code(self, name: str, value: object) -> int:
        codes = self._codes[name]
        return codes.setdefault(value, len(codes))


def _smallest(values: npt.NDArray[np.float64]) -> tuple[str, npt.NDArray[Any]]:
    """Values in the smallest array that holds them, after the name of its type in JavaScript."""
    if np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all():
        for name, kind in _TYPES:
            if values.max(initial=0) <= np.iinfo(kind).max:
                return name, values.astype(kind)
    return "Float64Array", values


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _mean(advantage: float | tuple[float, ...] | None) -> float:
    """The advantage of a completion, or the mean over its tokens; NaN if there is none."""
    if isinstance(advantage, tuple):
        return _finite(math.fsum(advantage) / len(advantage)) if advantage else math.nan
    return math.nan if advantage is None else _finite(advantage)
