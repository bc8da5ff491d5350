"""Sudoku: fill a board so that every row, column and box holds each digit once.

A problem and its full trace::

    Sudoku, boxes 2x2:
    ..3.
    ..41
    1324
    .4.3
    Answer:
    r1c1: 124, 234, 1234, 24 > 4
    r1c2: 12, 12, 123, 12 > 1
    r1c4: 2, 2, 2, 2 > 2
    r2c1: 23, 23, 23, 23 > 3
    r2c2: 2, 2, 2, 2 > 2
    r4c1: 12, 2, 2, 2 > 2
    r4c3: 1, 1, 1, 1 > 1
    Thus, the answer is 4132 3241 1324 2413.

Steps: each line is about the first empty cell, row by row. It states the digits missing in its row, in its
column and in its box, the candidates missing in all three, and the candidate that is placed.

Two other lines are valid and change nothing. ``r1c4: 4, 2, 2, none`` states that the next cell has no
candidate; it is valid if that is so, here after a 2 and a 1 in the first row. ``see r4c1: 12, 234, 2, 2``
states the candidates of any empty cell, here at the start; padded traces use it. The answer is the rows of the
only solution.

With ``stated: untried`` lines are shorter: ``0. r1c1: 2/4`` places a 2 and leaves a 4 to try, after no other
cell; ``2. r1c4: none``, ``see r4c1: 2``.

There are no hand-skip rules, since every line is about one cell.

`remaining`: one line for each empty cell; infinite once a digit is wrong.

Buckets: a bucket is "SIDE_LOW-HIGH", the side of the board (4, 6 or 9) and the range of the number of empty
cells ("9_30-40"). Numbers are drawn uniformly; `board.py` draws the boards. With a bucket such as "4new_9-11"
one full board in four, chosen by a hash, is *new* and occurs in such buckets only: there are 288 of side 4, few
enough to be learnt by heart.

Wrong turns (`error_kinds`):
    digit: A wrong candidate is placed, then the lowest candidate of each next cell, until a cell has none.

Source: a task of "How Much Backtracking is Enough?" (arXiv 2505.24273), which has 30 to 50 empty cells on a
side of 9. The content of the lines, the search and the detours follow its released generator. Differences: the
lines use fewer words; the released traces sometimes print the board, ours do not; after a wrong digit, the
released walk places any candidate that its search tried, ours the lowest.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field, field_validator

from envs.base import Demonstration, check_error_kinds
from envs.generated import Draw, GeneratedEnv
from envs.grading import Grade
from envs.problem import Problem
from envs.ranges import RangeSettings, draw_from_range
from envs.requests import ask_for_answer
from envs.tasks.sudoku.board import (
    MOST_EMPTY,
    Puzzle,
    draw_puzzle,
    is_new,
    read_puzzle,
    rows_of,
    write_question,
)
from envs.tasks.sudoku.steps import (
    Stated,
    SudokuState,
    advance,
    allowed,
    look_line,
    place_line,
    right_way,
    search,
    walk,
)
from envs.trace import BACKTRACK

_NEW = "new"
_BUCKET = re.compile(rf"([469])(?:{_NEW})?_([1-9][0-9]?)-([1-9][0-9]?)")
_ERROR = "digit"


class DetourDigits(StrEnum):
    """The wrong candidates that a detour may place."""

    TRIED = "tried"
    """Those below the right digit, which the search tries first; as published."""
    ANY = "any"
    """All of them. This is ours; there are about twice as many."""


class Question(StrEnum):
    """How a question shows the board."""

    ROWS = "rows"
    """A line for each row, with a point for an empty cell."""
    CELLS = "cells"
    """A line for each given cell, "r1c3: 3", as in arXiv 2504.07052: the same words as in the trace."""


class SudokuSettings(RangeSettings):
    """Settings of `sudoku`; buckets are sides and ranges of the number of empty cells.

    Attributes:
        max_merge: Fixed at 1, since each line fills one cell.
        max_search_lines: Largest number of lines in a search trace, including backtracks. Problems whose search
            takes more have no search trace.
        question: How a question shows the board.
        stated: What a line states about its cell. With "untried" a line is "0. r1c1: 2/4".
        detour_digits: The wrong candidates a detour may place. With "tried", half the boards of the three
            default buckets have room for 3, 7 and 10 detours; with "any", for 7, 14 and 20.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    train: dict[str, float] = {"9_30-40": 1.0}
    ood_easy: dict[str, float] = {"9_41-45": 1.0}
    ood_hard: dict[str, float] = {"9_46-50": 1.0}
    max_search_lines: int = Field(default=200, ge=1, le=10_000)
    detour_digits: DetourDigits = DetourDigits.TRIED
    question: Question = Question.ROWS
    stated: Stated = Stated.UNITS

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _sides_and_ranges(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            match = _BUCKET.fullmatch(bucket)
            if match is None or not int(match[2]) <= int(match[3]) <= MOST_EMPTY[int(match[1])]:
                most = ", ".join([f"{most} of side {side}" for side, most in MOST_EMPTY.items()])
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is a side of 4, 6 or 9 and a range of empty cells "
                    f"(at most {most}), such as '9_30-40'"
                )
        return value

    @property
    def holds_out(self) -> bool:
        """Whether there are buckets of new boards."""
        return any(_NEW in bucket for bucket in self._buckets)


def _request(line: str) -> str:
    """The form of steps and answer; `line` is an example of a line, with what it says."""
    answer = ask_for_answer("the rows of the full board, separated by spaces")
    return f"Fill the empty cells row by row, one line per cell, such as {line}. {answer}"


class Sudoku(GeneratedEnv[SudokuState]):
    """Fill a Sudoku board."""

    name = "sudoku"
    Settings = SudokuSettings
    settings: SudokuSettings
    error_kinds = (_ERROR,)
    instruction = (
        "Fill the board so that every row, column and box holds each digit once; a dot is an empty cell."
    )
    format_request = _request(
        '"r1c1: 124, 234, 1234, 24 > 4": the digits missing in its row, in its column and in its box, those '
        "missing in all three, and the one placed"
    )

    @property
    def request(self) -> str:
        """The form of steps and answer, with a line as the settings want it."""
        if self.settings.stated is Stated.UNITS:
            return self.format_request
        return _request(
            '"3. r1c1: 2/4": the number of cells filled before, the digit placed, and the larger ones that its '
            "row, column and box would allow too"
        )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw a number of empty cells from the bucket's range, and a board with that many."""
        kind, num_empty = draw_from_range(bucket, rng)
        side = int(kind[0])
        puzzle = draw_puzzle(side, num_empty, rng)
        while self._kind(puzzle) != kind:
            puzzle = draw_puzzle(side, num_empty, rng)
        return Draw(
            question=write_question(side, puzzle.givens, listed=self.settings.question is Question.CELLS),
            answer=" ".join(rows_of("".join(map(str, puzzle.solution)), side)),
            num_full_steps=num_empty,
            difficulty=num_empty,
        )

    def bucket(self, problem: Problem) -> str:
        """The bucket of its side and number of empty cells; see `RangeSettings.bucket_of`."""
        puzzle = read_puzzle(problem.question)
        return self.settings.bucket_of(self._kind(puzzle), puzzle.givens.count(0))

    def _kind(self, puzzle: Puzzle) -> str:
        """The kind of its bucket: its side, and whether its full board is held out."""
        return f"{puzzle.side}{_NEW if self.settings.holds_out and is_new(puzzle.solution) else ''}"

    def start(self, problem: Problem) -> SudokuState:
        """The board as given in the question."""
        puzzle = read_puzzle(problem.question)
        return SudokuState(puzzle, puzzle.givens, self.settings.stated)

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """Every digit of the solution, placed without a detour."""
        return tuple([place_line(*step) for step in right_way(self.start(problem))])

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one wrong digit for each of `errors`, each followed to a dead end.

        Pairs of a cell and a wrong digit are drawn uniformly from those that `detour_digits` allows. Wrong
        digits of one cell are placed in ascending order. None if there are fewer pairs than errors.

        Raises:
            ValueError: An error kind is unknown.
        """
        check_error_kinds(errors, self.error_kinds)
        way = list(right_way(self.start(problem)))
        turns = [
            (at, digit)
            for at, (state, cell, right) in enumerate(way)
            for digit in allowed(state, cell).candidates
            if digit < right or (digit > right and self.settings.detour_digits is DetourDigits.ANY)
        ]
        if len(errors) > len(turns):
            return None
        drawn = sorted(rng.sample(turns, len(errors)))
        lines: list[str] = []
        wrong: set[int] = set()
        for at, (state, cell, right) in enumerate(way):
            for digit in [digit for place, digit in drawn if place == at]:
                wrong.add(len(lines))
                lines += walk(state, cell, digit)
                lines.append(f"{BACKTRACK} {at}")
            lines.append(place_line(state, cell, right))
        return Demonstration(lines=tuple(lines), wrong=frozenset(wrong))

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The full trace with `see` lines spread evenly before its lines.

        At each state, no `see` line is repeated until all of them have been written.
        """
        way = list(right_way(self.start(problem)))
        if num_lines < len(way):
            return None
        counts = _spread(num_lines - len(way), len(way), rng)
        lines: list[str] = []
        for (state, cell, right), count in zip(way, counts, strict=True):
            empty = [i for i, digit in enumerate(state.cells) if not digit]
            looks = empty * (count // len(empty)) + rng.sample(empty, count % len(empty))
            rng.shuffle(looks)
            lines += [look_line(state, i) for i in looks]
            lines.append(place_line(state, cell, right))
        return Demonstration(lines=tuple(lines))

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The depth-first search of `search`, which is not random; None if it takes too many lines."""
        lines = search(self.start(problem), self.settings.max_search_lines)
        return None if lines is None else Demonstration(lines=lines)

    def advance(self, state: SudokuState, line: str) -> SudokuState:
        """Take one line; see `steps.py`."""
        return advance(state, line)

    def finished(self, state: SudokuState) -> bool:
        """Whether every cell is filled. Only candidates can be placed, so the board is then solved."""
        return state.next_cell is None

    def remaining(self, state: SudokuState) -> float:
        """The number of empty cells; infinite if one is filled wrongly, since there is one solution."""
        cells = zip(state.cells, state.puzzle.solution, strict=True)
        return state.cells.count(0) if all(digit in (0, right) for digit, right in cells) else math.inf

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is the rows of the solution from the top, separated by single spaces.

        Any other board of digits in this form is wrong, any other text malformed.
        """
        if answer == problem.answer:
            return Grade.CORRECT
        side = read_puzzle(problem.question).side
        board = rf"[1-{side}]{{{side}}}(?: [1-{side}]{{{side}}}){{{side - 1}}}"
        return Grade.WRONG if re.fullmatch(board, answer) else Grade.MALFORMED


def _spread(num_notes: int, num_places: int, rng: random.Random) -> list[int]:
    """Split notes evenly among the places, but give no place a repeated note while another has a new one.

    The first place has `num_places` different notes, each later place one fewer.
    """
    counts = [0] * num_places
    while num_notes:
        for rest in range(num_places, 0, -1):
            for place in rng.sample(range(rest), min(rest, num_notes)):
                counts[place] += 1
            num_notes -= min(rest, num_notes)
    return counts
