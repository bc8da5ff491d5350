r"""The JSONL layout of the released data: records to rows, and problems to records.

In: a file with one object a line::

    {"id": "2_2/435", "prompt": "Question: 86 + 75", "step_num": 3, "answer": 161,
     "completion": "1. 6 + 5 (plus carry 0) = 11 (write down 1, carry over 1).\n...\nThus, the answer is 161."}
    {"id": "test_1", "question": "♙ ✰ ♏ ✾ ♋ ❀ ❤ ↔ ◯", "answer": "❤ ↔ ♙ ✰ ♏ ✾ ♋", "num_steps": 3,
     "steps": [{"step": 1, "equation": "♏ ✾ ♋ ❀ ❤ ↔ ❀ ♙"}, ...]}

An id that ends in `_skip` or `/skip` is a hand-skipped version of a problem. Out: rows with question, lines
and answer in Stride's wording, and a fault for what cannot be read. Either form serves any of the tasks,
other fields are not read, and a row without a trace is a problem alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from envs.data.read import Reading
from envs.data.rows import FaultKind, Row, RowFault
from envs.data.sources import Record, read_source
from envs.problem import Problem
from envs.released.wording import Wording, WordingError

_CLOSING = re.compile(r"Thus, the answer is (.+?)\.?")
_SKIP = "_skip"
_SKIPS = (_SKIP, "/skip")


def read_released(source: str, wording: Wording) -> Reading:
    """Read a file; its skipped versions are rows with a `skipped` trace and no solution.

    Raises:
        ValueError: The file cannot be read, or has no rows.
    """
    table = read_source(source)
    if not table.records and not table.faults:
        raise ValueError(f"{source} has no rows; it needs at least one problem")
    rows: list[Row] = []
    faults = list(table.faults)
    for number, record in table.records:
        try:
            rows.append(_row(source, number, record, wording, faults))
        except _ColumnError as error:
            faults.append(RowFault(source=source, number=number, kind=FaultKind.COLUMN, reason=str(error)))
        except ValueError as error:
            faults.append(RowFault(source=source, number=number, kind=FaultKind.VALUE, reason=str(error)))
    faults.sort(key=lambda fault: fault.number)
    return Reading(rows=tuple(rows), faults=tuple(faults), notes=())


def write_record(
    problem: Problem, lines: Sequence[str], wording: Wording, *, name: str, skipped: bool
) -> Record:
    """The record of a problem with one of its traces.

    Args:
        problem: The problem.
        lines: The lines of the trace.
        wording: The task's wording.
        name: The problem's id.
        skipped: Whether the trace is a hand-skipped version.
    """
    record: dict[str, Any] = {"id": f"{name}{_SKIP}" if skipped else name}
    question, answer = wording.write_question(problem.question), wording.write_answer(problem.answer)
    written = [wording.write_line(line) for line in lines]
    if wording.as_equations:
        steps = [{"step": at, "equation": line} for at, line in enumerate(written, 1)]
        return {**record, "question": question, "answer": answer, "num_steps": len(lines), "steps": steps}
    completion = "\n".join([*written, f"Thus, the answer is {answer}."])
    return {**record, "prompt": question, "completion": completion, "step_num": len(lines), "answer": answer}


class _ColumnError(ValueError):
    """A field is missing."""


def _row(source: str, number: int, record: Record, wording: Wording, faults: list[RowFault]) -> Row:
    """The row of a record. A trace that cannot be read is a fault, and the row stays without it.

    Raises:
        ValueError: The question or the answer is missing or cannot be read.
    """
    question = wording.read_question(_text(record, "question", "prompt"))
    answer = wording.read_answer(_text(record, "answer"))
    row = Row(source=source, number=number, question=question, answer=answer)
    try:
        lines, stated = _trace(record, wording)
    except ValueError as error:
        faults.append(row.fault(FaultKind.TRACE_STEP, f"the trace is left out: {error}"))
        return row
    if not lines:
        return row
    claimed = record.get("step_num", record.get("num_steps", len(lines)))
    if claimed != len(lines):
        reason = f"the trace is left out: it has {len(lines)} steps, and the row says {claimed}"
        faults.append(row.fault(FaultKind.NUM_STEPS, reason))
        return row
    is_skip = str(record.get("id", "")).endswith(_SKIPS)
    return Row(
        source=source,
        number=number,
        question=question,
        answer=answer,
        solution=() if is_skip else lines,
        skipped=(lines,) if is_skip else (),
        stated=(("skipped solution 1" if is_skip else "solution", answer if stated is None else stated),),
    )


def _text(record: Record, *names: str) -> str:
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    listed = " or ".join(f"'{name}'" for name in names)
    raise _ColumnError(f"no field {listed} with a text, but {', '.join(map(str, record))}")


def _trace(record: Record, wording: Wording) -> tuple[tuple[str, ...], str | None]:
    """The lines of a record's trace, and the answer that it states."""
    if (steps := record.get("steps")) is not None:
        if not isinstance(steps, list):
            raise WordingError(f"'steps' is a {type(steps).__name__}, not a list")
        return tuple([wording.read_line(_equation(step)) for step in steps]), None
    completion = record.get("completion")
    if completion is None:
        return (), None
    if not isinstance(completion, str):
        raise WordingError(f"'completion' is a {type(completion).__name__}, not a text")
    written = [line for line in completion.split("\n") if line.strip()]
    closing = _CLOSING.fullmatch(written[-1]) if written else None
    if closing is None:
        raise WordingError("'completion' has no last line 'Thus, the answer is …'")
    return tuple([wording.read_line(line) for line in written[:-1]]), wording.read_answer(closing[1])


def _equation(step: object) -> str:
    text = step.get("equation") if isinstance(step, Mapping) else step
    if not isinstance(text, str):
        raise WordingError(f"a step is {str(step)[:60]!r}, not a text or an object with 'equation'")
    return text
