"""Rows of a source, by the names of its columns.

In: a source (`sources.py`) and the layout of its columns (`columns.py`). Out: a `Reading`: rows, a fault for
every record that makes no row, and notes about what was understood. Traces are read (`worked.py`), not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.data.choices import letter_choices, right_letter
from envs.data.columns import NOTE, PRESETS, Columns, Preset, find_preset, has_plain_names
from envs.data.equations import work_out
from envs.data.rows import Detour, FaultKind, Row, RowFault
from envs.data.sources import Record, read_source
from envs.data.values import (
    BadValueError,
    Choices,
    is_chat,
    is_missing,
    look_up,
    said,
    to_choices,
    to_detours,
    to_level,
    to_number,
    to_solutions,
    to_split,
    to_text,
    unpack,
)
from envs.data.worked import read_worked
from envs.segments import GAPS, Segmentation

Names = Mapping[str, str | tuple[str, ...] | None]
_MAX_NAMED = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a source holds.

    Attributes:
        rows: The rows that could be read, in order.
        faults: The others, in order.
        notes: What a user should know about the reading, a line each.
    """

    rows: tuple[Row, ...]
    faults: tuple[RowFault, ...]
    notes: tuple[str, ...]


def read_rows(source: str, *, preset: Preset | None, names: Names, steps: Segmentation) -> Reading:
    """Read a source.

    Args:
        source: A path or the id of a data set; see `sources.read_source`.
        preset: Layout of the data; None for columns with plain names, or for one of TRL's forms. A source that
            has a question, an answer and a solution or an equation by their plain names needs none.
        names: Names of columns that are not the preset's, by field of `Columns`; None for the preset's.
        steps: What counts as one step of a solution.

    Raises:
        ValueError: The source cannot be read or is empty, or no row has a column that is needed.
    """
    table = read_source(source)
    if not table.records and not table.faults:
        raise ValueError(f"{source} has no rows; it needs at least one problem")
    seen = dict.fromkeys(name for _, record in table.records for name in record)
    notes = []
    if preset is not None and has_plain_names(seen):
        preset = None
        notes.append(f"{source} has columns with plain names and is read by those")
    elif preset is None and names.get("question") is None and (preset := find_preset(seen)) is not None:
        notes.append(f"{source} is read by the preset {preset}")
    columns = PRESETS[preset].renamed(**names)
    if table.records:
        _check_columns(source, table.records, columns)
    reader = _Reader(source, columns, steps)
    rows, faults = [], list(table.faults)
    for number, record in table.records:
        try:
            rows.append(reader.read(number, record))
        except BadValueError as error:
            faults.append(RowFault(source=source, number=number, kind=error.kind, reason=str(error)))
    used = {
        part
        for group in columns.all_names().values()
        for name in group
        for part in (name, name.partition(".")[0])
    }
    if unused := [str(name) for name in seen if name not in used | {NOTE}]:
        more = f" and {len(unused) - _MAX_NAMED} more" if len(unused) > _MAX_NAMED else ""
        notes.append(f"{source} has columns that are not used: {', '.join(unused[:_MAX_NAMED])}{more}")
    notes += [f"{source}: {text} (rows: {count:,})" for text, count in reader.remarks.items()]
    faults.sort(key=lambda fault: fault.number)
    return Reading(rows=tuple(rows), faults=tuple(faults), notes=tuple(notes))


def _check_columns(source: str, records: tuple[tuple[int, Record], ...], columns: Columns) -> None:
    """Refuse a layout that fits no row: a needed column, or one that the settings name, is nowhere.

    Raises:
        ValueError: Names the column, and those that there are.
    """
    wanted = [(field, columns.all_names()[field]) for field in sorted(columns.named)]
    needed = [("messages", (columns.messages,)) if columns.messages else ("question", columns.question)]
    if not columns.messages:
        answers = [name for name in (columns.answer, columns.solution) if name]
        if not any(look_up(record, name) is not None for name in answers for _, record in records):
            needed.append(("answer", tuple(answers[:1])))
    for field, group in (*needed, *wanted):
        for name in group:
            if name and not any(look_up(record, name) is not None for _, record in records):
                number, record = records[0]
                raise ValueError(
                    f"{source} row {number} has no column '{name}', but {', '.join(map(str, record))}; name "
                    f"the column of the {field} in env.settings.{field}, or choose another env.settings.preset"
                )


class _Reader:
    """Makes rows of the records of one source, and counts what it leaves out of them."""

    def __init__(self, source: str, columns: Columns, steps: Segmentation) -> None:
        self._source = source
        self._columns = columns
        self._steps = steps
        self.remarks: Counter[str] = Counter()

    def read(self, number: int, record: Record) -> Row:
        """The row of a record.

        Raises:
            BadValueError: A value is missing or cannot be taken.
        """
        columns = self._columns
        found = _Traces(self._steps)
        question = self._question(record)
        found.add("solution", self._solution(record))
        solution = found.last
        skipped = []
        if (value := self._value(record, columns.skipped)) is not None:
            for place, text in enumerate(to_solutions(value), 1):
                found.add(f"skipped solution {place}", text)
                skipped.append(found.last)
        detours = []
        if (value := self._value(record, columns.detours)) is not None:
            for place, (lines, wrong) in enumerate(to_detours(value), 1):
                detours.append(Detour(lines=found.add_lines(f"detour {place}", lines), wrong=wrong))
        choices = None
        if (value := self._value(record, columns.choices)) is not None:
            choices = to_choices(value)
            question = letter_choices(question, choices.texts)
        level = self._level(record)
        answer = self._answer(record, found, choices)
        if not solution and isinstance(equation := self._value(record, columns.equation), str):
            solution, shorter = self._work_out(equation, answer)
            level = level or len(solution)
            if shorter and not skipped:
                skipped.append(shorter)
        stated = tuple((name, self._as_choice(text, choices)) for name, text in found.stated)
        split = self._value(record, columns.split)
        return Row(
            source=self._source,
            number=number,
            question=question,
            answer=answer,
            solution=solution,
            skipped=tuple(skipped),
            detours=tuple(detours),
            level=level,
            split=None if split is None else to_split(split),
            stated=stated,
        )

    def _work_out(self, equation: str, answer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The solution of an equation and its short form; neither if it leads to another number."""
        solution, shorter = work_out(equation) or ((), ())
        result = to_number(solution[-1].rpartition("= ")[2]) if solution else None
        right = to_number(answer)
        if result is not None and right is not None and result != right:
            self.remarks["equations that lead to another number than the answer are not used"] += 1
            return (), ()
        return solution, shorter

    def _value(self, record: Record, name: str | None) -> Any:
        value = None if name is None else look_up(record, name)
        return None if is_missing(value) else value

    def _question(self, record: Record) -> str:
        columns = self._columns
        if columns.messages:
            messages = unpack(self._value(record, columns.messages))
            if not is_chat(messages):
                raise BadValueError(f"'{columns.messages}' is no list of chat messages with role and content")
            return self._asked(messages, columns.messages)
        parts = []
        for name in columns.question:
            value = unpack(look_up(record, name))
            text = self._asked(value, name) if is_chat(value) else to_text(value)
            if text is None:
                raise _missing(record, name, value)
            parts.append(text)
        return " ".join(parts)

    def _asked(self, messages: list[Mapping[str, Any]], name: str) -> str:
        text = said(messages, "user")
        if text is None:
            raise BadValueError(f"'{name}' has no message of the user")
        if said(messages, "system"):
            self.remarks["system messages are left out; set prompt.system"] += 1
        return text

    def _solution(self, record: Record) -> str | list[str]:
        columns = self._columns
        name = columns.messages or columns.solution
        value = unpack(self._value(record, name))
        if value is None:
            return ""
        if is_chat(value):
            return said(value, "assistant") or ""
        if isinstance(value, list) and all(isinstance(step, str) for step in value):
            return [step for step in value if step.strip()]
        text = to_text(value)
        if text is None:
            raise BadValueError(
                f"'{name}' is {str(value)[:60]!r}; it must be text, a list of steps, or chat messages"
            )
        return text

    def _answer(self, record: Record, found: _Traces, choices: Choices | None) -> str:
        columns = self._columns
        value = self._value(record, columns.answer)
        stated = dict(found.stated).get("solution")
        if value is None and stated is None:
            if not found.has_solution:
                raise _missing(
                    record, columns.answer or columns.solution or columns.messages or "answer", value
                )
            raise BadValueError(
                f"'{columns.messages or columns.solution}' states no answer ('#### 5', \\boxed{{5}} or "
                "'The answer is 5.' at its end), and no column holds it"
            )
        answer: Any = stated if value is None else value
        if choices is not None:
            letter = right_letter(answer, choices.texts, choices.labels)
            if letter is None:
                raise BadValueError(f"the right answer {answer!r} is none of the {len(choices.texts)} choices")
            return letter
        text = to_text(answer)
        if text is None:
            raise _missing(record, columns.answer or "answer", answer)
        if "####" in text:
            raise BadValueError(
                f"'{columns.answer}' holds '####'; if solutions end in their answers, set preset: gsm8k"
            )
        return " ".join(text.split())

    def _as_choice(self, text: str, choices: Choices | None) -> str:
        return text if choices is None else right_letter(text, choices.texts, choices.labels) or text

    def _level(self, record: Record) -> int:
        value = self._value(record, self._columns.level)
        level = None if value is None else to_level(value)
        if value is not None and level is None:
            self.remarks[f"no level is read from '{self._columns.level}', which is no number"] += 1
        return level or 0


class _Traces:
    """Reads the traces of a row and keeps what they state."""

    def __init__(self, steps: Segmentation) -> None:
        self._steps = steps
        self.stated: list[tuple[str, str]] = []
        self.last: tuple[str, ...] = ()
        self.has_solution = False

    def add(self, name: str, text: str | list[str]) -> None:
        worked = read_worked(text if isinstance(text, str) else GAPS[self._steps].join(text), self._steps)
        self.last = worked.lines
        self.has_solution = self.has_solution or bool(text)
        if worked.stated is not None:
            self.stated.append((name, worked.stated))

    def add_lines(self, name: str, lines: list[str]) -> tuple[str, ...]:
        """The lines as they are, without a last one that only states the answer."""
        end = read_worked(lines[-1], self._steps)
        if end.stated is not None:
            self.stated.append((name, end.stated))
        return tuple(lines if end.lines else lines[:-1])


def _missing(record: Record, name: str, value: object) -> BadValueError:
    if value is None and name not in record:
        return BadValueError(f"no column '{name}', but {', '.join(map(str, record))}", FaultKind.COLUMN)
    return BadValueError(f"'{name}' is {value!r}; it must be a number or text that is not empty")
