"""Mathematical problems read from a user's data.

In: a JSON Lines, CSV or parquet file, or a folder saved by `datasets`, and the names of its columns. Out:
`Row`s with question, solution and right answer. Presets know the layouts of GSM8K (Cobbe et al., arXiv
2110.14168) and MATH (Hendrycks et al., arXiv 2103.03874). Errors in the data name the file and the row, before
anything runs.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from envs.maths.grader import find_answer
from envs.segments import Segmentation, find_blocks, join, segment
from envs.trace import parse_trace

Preset = Literal["gsm8k", "math"]
_MARK = "####"  # in GSM8K the right answer follows it
_CALCULATION = re.compile(r"<<[^<>]*>>")  # calculator annotations of GSM8K
_LEVEL = re.compile(r"Level ([1-9])")
_READERS = {".csv": "from_csv", ".parquet": "from_parquet"}
_LINES = (".jsonl", ".json", ".ndjson")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as Windows saves "Unicode"


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Names of the columns; None for a column that the data does not have.

    Attributes:
        question: The task text.
        answer: The right answer. With `gsm8k` it holds the solution, and the answer follows ``####``. With
            `math` it may be missing; the answer is then the one in the box of the solution.
        solution: A worked solution, one step per line or paragraph.
        level: Difficulty, a number or text such as "Level 3".
    """

    question: str
    answer: str
    solution: str | None = None
    level: str | None = None


COLUMNS: dict[Preset | None, Columns] = {
    None: Columns(question="question", answer="answer", solution="solution", level="level"),
    "gsm8k": Columns(question="question", answer="answer"),
    "math": Columns(question="problem", answer="answer", solution="solution", level="level"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One problem of the data.

    Attributes:
        where: File and row, for messages.
        question: The task text.
        answer: The right answer, as the data states it.
        lines: The steps of the worked solution; empty if there is none.
        level: Difficulty, 0 if it is not given.
    """

    where: str
    question: str
    answer: str
    lines: tuple[str, ...]
    level: int


def read_rows(source: str, preset: Preset | None, columns: Columns, steps: Segmentation) -> list[Row]:
    """Read the problems of one file or folder.

    Args:
        source: A path, or `path:split` for a folder with several splits.
        preset: Layout of the data.
        columns: Names of the columns.
        steps: What counts as one step of a solution.

    Raises:
        ValueError: The file does not exist or does not have the format of its suffix, or a row is incomplete;
            the message names the file and the row.
    """
    rows = [
        _read(f"{source} row {number}", record, preset, columns, steps)
        for number, record in enumerate(_records(source), 1)
    ]
    if not rows:
        raise ValueError(f"{source} has no rows; it needs at least one problem")
    return rows


def _records(source: str) -> Iterable[Mapping[str, Any]]:
    name, _, part = source.partition(":")
    path = Path(name)
    if path.is_dir():
        return _folder(path, part)
    if not path.is_file():
        raise ValueError(
            f"{name} is neither a file nor a folder; give a JSONL, CSV or parquet file, or a folder saved by "
            "datasets"
        )
    if part:
        raise ValueError(f"{source}: only a folder has splits; leave ':{part}' out")
    if path.suffix in (*_LINES, ".csv"):
        _check_utf8(path)
    if path.suffix in _LINES:
        return _json_lines(path)
    if path.suffix not in _READERS:
        known = ", ".join((*_LINES, *_READERS))
        raise ValueError(
            f"{name} ends in {path.suffix!r}; give a file with {known}, or a folder saved by datasets"
        )
    import datasets  # imported here because it takes a second

    try:
        table = getattr(datasets.Dataset, _READERS[path.suffix])(str(path), keep_in_memory=True)
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise ValueError(f"{name} cannot be read: {str(error).splitlines()[0]}") from None
    rows: Iterable[Mapping[str, Any]] = table
    return rows


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


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path} line {number} is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path} line {number} is a {type(row).__name__}; each line must be an object")
        rows.append(row)
    return rows


def _folder(path: Path, part: str) -> Iterable[Mapping[str, Any]]:
    import datasets

    try:
        found = datasets.load_from_disk(str(path), keep_in_memory=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a folder saved by datasets: {str(error).splitlines()[0]}") from None
    if isinstance(found, datasets.DatasetDict):
        if part not in found:
            raise ValueError(
                f"{path} has the splits {', '.join(found)}; name one, as in '{path}:{next(iter(found))}'"
            )
        found = found[part]
    elif part:
        raise ValueError(f"{path} has no splits; leave ':{part}' out")
    rows: Iterable[Mapping[str, Any]] = found
    return rows


def _read(
    where: str, record: Mapping[str, Any], preset: Preset | None, columns: Columns, steps: Segmentation
) -> Row:
    question = _text(where, record, columns.question)
    solution = str(record.get(columns.solution) or "") if columns.solution else ""
    if preset == "gsm8k":
        solution, mark, answer = _text(where, record, columns.answer).rpartition(_MARK)
        if not mark:
            raise ValueError(
                f"{where}: '{columns.answer}' has no '{_MARK}'; preset gsm8k expects it before the right answer"
            )
        solution = _CALCULATION.sub("", solution)
    elif preset == "math" and columns.answer not in record:
        boxed = find_answer(_text(where, record, columns.solution or "solution"))
        if boxed is None:
            raise ValueError(
                f"{where}: '{columns.solution}' has no \\boxed{{}}, and there is no column '{columns.answer}'; "
                "preset math needs one of the two"
            )
        answer = boxed
    else:
        answer = _text(where, record, columns.answer)
    return Row(
        where=where,
        question=question.strip(),
        answer=" ".join(answer.split()),
        lines=solution_steps(solution, steps),
        level=_level(record.get(columns.level)) if columns.level else 0,
    )


def solution_steps(solution: str, rule: Segmentation) -> tuple[str, ...]:
    """The steps of a worked solution; by `paragraphs`, one without blank lines has a step on each line."""
    blocks = find_blocks(solution)
    lines = parse_trace(solution).steps
    found = segment(solution, lines, blocks, rule)
    if rule == "paragraphs" and len(found) == 1:
        found = join(solution, lines, blocks, attached=False)  # demonstrations have a blank line between steps
    return tuple(step.text.strip() for step in found)


def _text(where: str, record: Mapping[str, Any], column: str) -> str:
    if column not in record:
        raise ValueError(
            f"{where} has no column '{column}', but {', '.join(record)}; name the right one in env.settings"
        )
    value = record[column]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: '{column}' is {value!r}; it must be a number or text that is not empty")
    return value


def _level(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _LEVEL.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else 0
