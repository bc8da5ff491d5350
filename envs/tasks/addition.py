"""Multi-digit addition, column by column from the right.

A problem and its full trace::

    Add 345 and 78
    Answer:
    1. 5 + 8 + 0 = 13, write 3, carry 1
    2. 4 + 7 + 1 = 12, write 2, carry 1
    3. 3 + 0 + 1 = 4, write 4, carry 0
    Thus, the answer is 423.

Steps: each line adds one column: the two digits and the carry into the column. If the last column carries, one
more line writes the carry: ``4. carry 1, write 1``. Lines are numbered by their position on the path.

A line may add 1 to `max_merge` neighbouring columns as one number: ``1. 45 + 78 + 0 = 123, write 23, carry 1``.
Operands and sums are plain integers (05 is printed 5). The written part has one digit per column (07 stays 07),
which shows how many columns the line adds. A line never extends past the longer operand, so the final carry
always has a line of its own.

`remaining`: one line for each column, and one for the final carry.

Buckets: a bucket is "a_b", the digit counts of the two operands ("3_2").

Hand-skip rules (`skip_kinds`); each adds one pair of neighbouring columns in one line:
    random_pair: A pair drawn at random. With two columns there is only one.
    low_pair: The two rightmost columns.
    high_pair: The two leftmost columns.

Wrong turns of detours (`error_kinds`); a backtrack takes each back, and the correct line follows:
    digit: A wrong digit is written.
    carry: The carry is 1 instead of 0, or 0 instead of 1.
    again: The line is correct. It is taken back and written again, as models do that check themselves without
        need.

Mistakes (`mistake_kinds`) are `digit` and `carry`. Nothing takes them back: a wrong carry goes into the next
column, and the answer has the digits that were written.

Source: the addition data of "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855, released files).
Differences: the lines use fewer words; every line prints the carry into its column, while the released
out-of-distribution files print the carry out of it; `low_pair`, `high_pair` and the detours are ours. `files`
in the settings reads those files.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import Field, field_validator

from envs.base import Demonstration
from envs.generated import Draw
from envs.grading import Grade, grade_whole_number
from envs.path import StepError
from envs.problem import Problem
from envs.released.addition import AdditionWording
from envs.released.env import ReleasedEnv, ReleasedSettings
from envs.requests import ask_for_answer
from envs.trace import BACKTRACK

MAX_DIGITS = 100
MAX_WIDTH = 11  # columns in one line; limits every number of a line to 12 digits
_ADD, _AND = "Add ", " and "
_QUESTION = re.compile(r"Add (0|[1-9][0-9]*) and (0|[1-9][0-9]*)")
_BUCKET = re.compile(r"([1-9][0-9]{0,2})_([1-9][0-9]{0,2})")
_COLUMNS = re.compile(
    r"([0-9]{1,3})\. ([0-9]{1,12}) \+ ([0-9]{1,12}) \+ ([0-9]{1,12}) = ([0-9]{1,12}), "
    r"write ([0-9]{1,12}), carry ([0-9]{1,12})"
)
_FIELDS = ("step number", "first operand", "second operand", "carry in", "sum", "written part", "carry")


class AdditionSettings(ReleasedSettings):
    """Settings of `addition`.

    A bucket "a_b" has a first operand of a digits and a second one of b digits. The defaults are those of the
    released data.
    """

    max_merge: int = Field(default=2, ge=1, le=MAX_WIDTH)
    train: dict[str, float] = {
        "1_1": 26.0,
        "2_1": 472.0,
        "2_2": 567.0,
        "3_1": 571.0,
        "3_2": 628.0,
        "3_3": 591.0,
    }
    ood_easy: dict[str, float] = {f"{a}_{b}": 1.0 for a in range(4, 8) for b in range(1, 4)}
    ood_hard: dict[str, float] = {f"{a}_{b}": 1.0 for a in range(4, 8) for b in range(4, 8)}

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _digit_counts(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            match = _BUCKET.fullmatch(bucket)
            if match is None or max(int(match[1]), int(match[2])) > MAX_DIGITS:
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is two digit counts from 1 to {MAX_DIGITS}, "
                    "such as '3_2'"
                )
        return value


@dataclass(frozen=True, slots=True)
class AdditionState:
    """The columns that remain to be added.

    Attributes:
        first: The first operand without the columns already added.
        second: The second operand without the columns already added.
        columns: Number of columns that remain.
        carry: Carry into the next column, 0 or 1.
        number: The number that the next line must have, from 1.
    """

    first: int
    second: int
    columns: int
    carry: int
    number: int


class Addition(ReleasedEnv[AdditionState]):
    """Add two integers as on paper."""

    name = "addition"
    Settings = AdditionSettings
    wording = AdditionWording()
    skip_kinds = ("random_pair", "low_pair", "high_pair")
    error_kinds = ("digit", "carry", "again")
    mistake_kinds = ("digit", "carry")
    format_request = (
        'Add column by column from the right, one numbered line per column, such as "1. 5 + 8 + 0 = 13, write '
        '3, carry 1": both digits and the carry into the column, their sum, the digit to write and the carry. '
        'A carry out of the last column gets a line of its own, such as "4. carry 1, write 1". '
        f"{ask_for_answer('the sum')}"
    )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw two operands of the bucket's digit counts, each uniformly (0 has one digit)."""
        a, _, b = bucket.partition("_")
        return _draw(_operand(int(a), rng), _operand(int(b), rng))

    def pose(self, question: str) -> Draw:
        """See `ReleasedEnv`."""
        found = _QUESTION.fullmatch(question)
        if found is None or max(map(len, found.groups())) > MAX_DIGITS:
            raise ValueError(
                f"{question[:80]!r} is no sum of two integers without leading zeros and with at most "
                f"{MAX_DIGITS} digits"
            )
        return _draw(int(found[1]), int(found[2]))

    def bucket(self, problem: Problem) -> str:
        """The digit counts of the two operands in the question."""
        return "_".join(str(len(operand)) for operand in _operands(problem))

    def start(self, problem: Problem) -> AdditionState:
        """Both operands, with no column added yet."""
        first, second = _operands(problem)
        return AdditionState(int(first), int(second), max(len(first), len(second)), 0, 1)

    def write_full(self, problem: Problem) -> tuple[str, ...]:
        """One line per column, and one for a final carry."""
        return _write(self.start(problem), merged=None)

    def write_skipped(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """Add one pair of columns in one line; None if there is only one column."""
        state = self.start(problem)
        if state.columns < 2:
            return None
        last = state.columns - 2
        at = {"low_pair": 0, "high_pair": last}.get(kind)
        return _write(state, merged=rng.randint(0, last) if at is None else at)

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one detour for each of `errors`, each before a different line.

        Returns None if there are more errors than lines.
        """
        lines = self.full_trace(problem)
        if len(lines) < len(errors):
            return None
        places = dict(zip(rng.sample(range(len(lines)), len(errors)), errors, strict=True))
        written: list[str] = []
        wrong: set[int] = set()
        for i, line in enumerate(lines):
            if i in places:
                if places[i] != "again":
                    wrong.add(len(written))
                turn = line if places[i] == "again" else _miscalculate(line, places[i], rng)
                written += [turn, f"{BACKTRACK} {i}"]
            written.append(line)
        return Demonstration(lines=tuple(written), wrong=frozenset(wrong))

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """One line per column, with a wrong digit, or with a wrong carry that the later columns add."""
        state = self.start(problem)
        at = rng.randrange(state.columns if kind == "carry" else len(self.full_trace(problem)))
        lines: list[str] = []
        while state.columns or state.carry:
            line, state = _column_line(state, 1) if state.columns else _carry_line(state)
            if len(lines) == at:
                line = _miscalculate(line, kind, rng)
                state = replace(state, carry=1 - state.carry) if kind == "carry" else state
            lines.append(line)
        digits = [line[line.index("write ") + len("write ")] for line in reversed(lines)]
        return Demonstration(lines=tuple(lines), wrong=frozenset([at]), answer=str(int("".join(digits))))

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration:
        """One line for each column that is left."""
        state = self.start(problem)
        for line in lines:
            state = self.advance(state, line)
        return Demonstration(lines=_write(state, merged=None))

    def advance(self, state: AdditionState, line: str) -> AdditionState:
        """Add the next 1 to `max_merge` columns, or write the final carry; every field must be correct."""
        if not state.columns and not state.carry:
            raise StepError("the sum is already complete")
        if not state.columns:
            expected, after = _carry_line(state)
            if line != expected:
                raise StepError(f"only the final carry is left; the line should be '{expected}'")
            return after
        got = _COLUMNS.fullmatch(line)
        if got is None:
            raise StepError("not a column sum")
        width = len(got[6])
        if width > self.settings.max_merge:
            raise StepError(f"{width} columns in one line, at most {self.settings.max_merge}")
        if width > state.columns:
            raise StepError(f"{width} columns in one line, only {state.columns} left")
        expected, after = _column_line(state, width)
        if line != expected:
            right = _COLUMNS.fullmatch(expected)
            assert right is not None
            wrong = next(i for i in range(1, 8) if got[i] != right[i])
            raise StepError(f"{_FIELDS[wrong - 1]} should be {right[wrong]}")
        return after

    def finished(self, state: AdditionState) -> bool:
        """Whether all columns and the final carry are written."""
        return state.columns == 0 and state.carry == 0

    def remaining(self, state: AdditionState) -> int:
        """The columns that are left, and the final carry if there will be one."""
        carries = state.first + state.second + state.carry >= 10**state.columns
        return state.columns + int(carries)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """See `grade_whole_number`."""
        return grade_whole_number(answer, problem.answer)


def _draw(first: int, second: int) -> Draw:
    answer, columns = str(first + second), max(len(str(first)), len(str(second)))
    return Draw(
        question=f"{_ADD}{first}{_AND}{second}",
        answer=answer,
        num_full_steps=max(columns, len(answer)),
        difficulty=columns,
    )


def _operand(digits: int, rng: random.Random) -> int:
    low = 10 ** (digits - 1) if digits > 1 else 0
    return rng.randrange(low, 10**digits)


def _operands(problem: Problem) -> tuple[str, str]:
    first, _, second = problem.question.removeprefix(_ADD).partition(_AND)
    return first, second


def _write(state: AdditionState, merged: int | None) -> tuple[str, ...]:
    """Every remaining line; column `merged` (from the right, 0 first) is added together with the next one."""
    lines: list[str] = []
    columns = state.columns
    while state.columns:
        line, state = _column_line(state, 2 if columns - state.columns == merged else 1)
        lines.append(line)
    if state.carry:
        lines.append(_carry_line(state)[0])
    return tuple(lines)


def _miscalculate(line: str, error: str, rng: random.Random) -> str:
    """The line with another first written digit or the other carry; a final carry line gets another digit."""
    if error == "carry" and not line.endswith("write 1"):
        return f"{line[:-1]}{1 - int(line[-1])}"
    at = line.index("write ") + len("write ")
    return f"{line[:at]}{(int(line[at]) + rng.randint(1, 9)) % 10}{line[at + 1 :]}"


def _column_line(state: AdditionState, width: int) -> tuple[str, AdditionState]:
    """The only correct line for the next `width` columns, and the state after it."""
    base = 10**width
    first, a = divmod(state.first, base)
    second, b = divmod(state.second, base)
    total = a + b + state.carry
    carry, written = divmod(total, base)
    sum_text = f"{state.number}. {a} + {b} + {state.carry} = {total}"
    line = f"{sum_text}, write {str(written).zfill(width)}, carry {carry}"
    return line, AdditionState(first, second, state.columns - width, carry, state.number + 1)


def _carry_line(state: AdditionState) -> tuple[str, AdditionState]:
    return f"{state.number}. carry 1, write 1", AdditionState(0, 0, 0, 0, state.number + 1)
