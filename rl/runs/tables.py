"""Completions as Arrow tables, which is how they lie in Parquet files.

In: `SampleRow`s. Out: a table with one row for each, and the same records back. A column is a field of
`SampleRow` with its name and type, so that pandas, polars or DuckDB read the files without this package;
beside them there are `num_steps`, `num_backtracks` and `num_invalid`, so that nobody has to count steps.
What is large stands in columns of its own (`text`, `steps`, and the token columns), and readers leave out
what they do not need.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from rewards import Outcome
from rl.runs.older_formats import is_counted
from rl.runs.record import FORMAT, SampleRow, StepRow

FORMAT_KEY: Final = b"stride_format"
"""Where the metadata of a file has the number of its format."""

TOKEN_COLUMNS: Final = ("pieces", "logprobs", "token_advantages")
"""Lists with an item for each token: its text, its log-probability under the sampler, and its advantage where
the advantages of a completion differ by token. A file without tokens lacks all three."""

_TEXTS = ("stage", "env", "split", "prompt", "rendered_prompt", "answer", "text", "stated", "form", "outcome")
_INTEGERS = (
    *("update", "group", "sample", "index", "full_steps", "tokens", "weight_version"),
    *("num_steps", "num_backtracks", "num_invalid"),
)
_DIGITS = 4  # of log-probabilities


def part_names(rows: Iterable[SampleRow]) -> tuple[str, ...]:
    """The names of the reward parts of some rows, in their order."""
    return tuple(dict.fromkeys(name for row in rows for name in row.parts))


def has_tokens(rows: Iterable[SampleRow]) -> bool:
    """Whether any of the rows has its tokens."""
    return any(row.pieces is not None for row in rows)


def to_table(rows: Sequence[SampleRow], *, parts: Sequence[str], tokens: bool) -> pa.Table:
    """Rows as a table.

    Characters that UTF-8 cannot encode become the replacement character.

    Args:
        rows: The rows.
        parts: Names of all reward parts: the fields of the column `parts`. A row that lacks one has null there.
        tokens: Whether the table has the token columns. Without them, an advantage by token is stored as its
            mean.

    Raises:
        ValueError: A row has a reward part that is not among `parts`.
        OverflowError: An integer has more than 64 bits.
    """
    if unknown := [name for name in part_names(rows) if name not in parts]:
        raise ValueError(
            f"reward parts {', '.join(unknown)} are not among those of the file: {', '.join(parts)}"
        )
    columns = {
        **{name: _texts([getattr(row, name) for row in rows]) for name in _TEXTS},
        **{name: pa.array([getattr(row, name) for row in rows], pa.int64()) for name in _INTEGERS},
        "steps_checked": pa.array([row.steps_checked for row in rows], pa.bool_()),
        "reward": pa.array([row.reward for row in rows], pa.float64()),
        "advantage": pa.array([_mean(row.advantage) for row in rows], pa.float64()),
        "steps": _lists([row.steps for row in rows], _steps),
    }
    if parts:
        values = [pa.array([row.parts.get(name) for row in rows], pa.float64()) for name in parts]
        columns["parts"] = pa.StructArray.from_arrays(values, names=list(parts))
    if tokens:
        by_token = [row.advantage if isinstance(row.advantage, tuple) else None for row in rows]
        columns["pieces"] = _lists([row.pieces for row in rows], _texts)
        columns["logprobs"] = _lists([row.logprobs for row in rows], lambda flat: pa.array(flat, pa.float32()))
        columns["token_advantages"] = _lists(by_token, lambda flat: pa.array(flat, pa.float64()))
    return pa.table(columns, metadata={FORMAT_KEY: str(FORMAT).encode()})


def to_rows(table: pa.Table) -> list[SampleRow]:
    """The rows of a table; tokens are None where it has no columns of them.

    Raises:
        RecordError: It is no table of completions.
    """
    return [SampleRow.from_json(_row_data(values)) for values in table.to_pylist()]


def table_of_today(table: pa.Table) -> pa.Table:
    """A table of an older format as this version would have written it, as far as it has the columns."""
    if "steps_checked" in table.column_names or not {"env", "outcome"} <= {*table.column_names}:
        return table
    counted = [is_counted(str(env)) for env in table["env"].to_pylist()]
    outcomes = [
        Outcome.CORRECT.value if only_counted and outcome == Outcome.VERIFIED else outcome
        for only_counted, outcome in zip(counted, table["outcome"].to_pylist(), strict=True)
    ]
    place = table.column_names.index("outcome")
    table = table.set_column(place, "outcome", pa.array(outcomes, pa.string()))
    checked = pa.array([not only_counted for only_counted in counted], pa.bool_())
    return table.append_column("steps_checked", checked)


def _row_data(values: dict[str, Any]) -> dict[str, Any]:
    """A row of a table as the JSON object of a `SampleRow`."""
    by_token, logprobs = values.pop("token_advantages", None), values.pop("logprobs", None)
    parts = values.pop("parts", {})
    return {
        **values,
        "format": FORMAT,
        "parts": {name: value for name, value in parts.items() if value is not None},
        "advantage": values["advantage"] if by_token is None else by_token,
        # Rounded again, since single precision has no 0.1.
        "logprobs": logprobs and np.round(np.asarray(logprobs, np.float64), _DIGITS).tolist(),
    }


def _texts(values: Sequence[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value and _encodable(value) for value in values], pa.string())


def _encodable(text: str) -> str:
    """The text with the replacement character for lone surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _lists(values: Sequence[Sequence[Any] | None], make: Any) -> pa.Array:
    """Lists as an array, of whose items `make` makes an array."""
    ends = np.cumsum([0, *(len(value or ()) for value in values)], dtype=np.int32)
    flat = make(list(itertools.chain.from_iterable(value or () for value in values)))
    return pa.ListArray.from_arrays(
        pa.array(ends), flat, mask=pa.array([value is None for value in values], pa.bool_())
    )


def _steps(steps: Sequence[StepRow]) -> pa.Array:
    texts = ("text", "kind", "verdict", "reason")
    columns = [_texts([getattr(step, name) for step in steps]) for name in texts]
    more = {
        "undone": pa.array([step.undone for step in steps], pa.bool_()),
        "progress": pa.array([step.progress for step in steps], pa.float64()),
        "use": pa.array([step.use for step in steps], pa.string()),
    }
    return pa.StructArray.from_arrays([*columns, *more.values()], names=[*texts, *more])


def _mean(advantage: float | tuple[float, ...] | None) -> float | None:
    """The advantage of a completion, or the mean over its tokens; None if there is none."""
    if isinstance(advantage, tuple):
        return math.fsum(advantage) / len(advantage) if advantage else None
    return advantage
