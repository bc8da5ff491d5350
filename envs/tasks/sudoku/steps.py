"""The lines of `sudoku`: what each says, and what it does.

In: a state and a line a model wrote. Out: the state after it, or a `StepError`; also the lines of a wrong turn
walked to its dead end and those of a whole search. A line is read by one bounded expression and compared, as
text, with what it should say; only single digits become numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from envs.path import StepError
from envs.tasks.sudoku.board import Cells, Puzzle, units
from envs.trace import BACKTRACK

_SEE, _NONE = "see ", "none"
_SET = "([1-9]{1,9})"
_LINE = re.compile(rf"({_SEE})?r([1-9])c([1-9]): {_SET}, {_SET}, {_SET}, ({_NONE}|[1-9]{{1,9}})(?: > ([1-9]))?")
_TEXTS = tuple("".join([str(digit) for digit in range(1, 10) if bits >> digit & 1]) for bits in range(1 << 10))
_FIELDS = ("row", "column", "box", "what all three allow")


@dataclass(frozen=True, slots=True)
class SudokuState:
    """How far a board is filled.

    Attributes:
        puzzle: The board and its solution.
        cells: The digits there are, 0 where a cell is empty.
    """

    puzzle: Puzzle
    cells: Cells

    @property
    def next_cell(self) -> int | None:
        """The first empty cell, row by row; None where all are filled."""
        return self.cells.index(0) if 0 in self.cells else None


class Allowed(NamedTuple):
    """The digits an empty cell may have, each set in ascending order.

    Example: `Allowed(row="125", column="258", box="129", all_three="2")`.

    Attributes:
        row: Those its row lacks.
        column: Those its column lacks.
        box: Those its box lacks.
        all_three: Those in all three sets: its candidates, perhaps none.
    """

    row: str
    column: str
    box: str
    all_three: str


def allowed(state: SudokuState, cell: int) -> Allowed:
    """What a cell may have by the digits that are there."""
    cells, digits = state.cells, (2 << state.puzzle.side) - 2
    lacking = []
    for unit in units(state.puzzle.side)[cell]:
        there = 0
        for i in unit:
            there |= 1 << cells[i]
        lacking.append(digits & ~there)
    row, column, box = lacking
    return Allowed(_TEXTS[row], _TEXTS[column], _TEXTS[box], _TEXTS[row & column & box])


def place(state: SudokuState, cell: int, digit: str) -> SudokuState:
    """The state with one more digit."""
    return SudokuState(state.puzzle, (*state.cells[:cell], int(digit), *state.cells[cell + 1 :]))


def advance(state: SudokuState, line: str) -> SudokuState:
    """Place a digit in the next cell, find that it can have none, or look at an empty cell.

    Raises:
        StepError: The line does none of these from this state.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise StepError("not a line about a cell")
    see, row, column, *stated, digit = match.groups()
    side = state.puzzle.side
    name = f"r{row}c{column}"
    if int(row) > side or int(column) > side:
        raise StepError(f"there is no {name}")
    cell = (int(row) - 1) * side + int(column) - 1
    if state.cells[cell]:
        raise StepError(f"{name} is filled")
    if not see and cell != state.next_cell:
        raise StepError(f"next is {_name(state, state.cells.index(0))}")
    right = allowed(state, cell)
    for field, got, should in zip(_FIELDS, stated, right, strict=True):
        if got != (should or _NONE):
            raise StepError(f"{field} should be {should or _NONE}")
    if see:
        if digit:
            raise StepError("a look places no digit")
        return state
    if not digit:
        if right.all_three:
            raise StepError(f"there is {right.all_three} to place")
        return state
    if digit not in right.all_three:
        raise StepError(f"{digit} is not one of {right.all_three or _NONE}")
    return place(state, cell, digit)


# ---- lines ----


def look_line(state: SudokuState, cell: int) -> str:
    """The line that looks at an empty cell and places nothing."""
    return f"{_SEE}{_sets(state, cell)}"


def place_line(state: SudokuState, cell: int, digit: str) -> str:
    """The line that places a digit."""
    return f"{_sets(state, cell)} > {digit}"


def _sets(state: SudokuState, cell: int) -> str:
    """A cell and what it may have: without a digit after it, the line of a dead end."""
    row, column, box, all_three = allowed(state, cell)
    return f"{_name(state, cell)}: {row}, {column}, {box}, {all_three or _NONE}"


def _name(state: SudokuState, cell: int) -> str:
    row, column = divmod(cell, state.puzzle.side)
    return f"r{row + 1}c{column + 1}"


# ---- the right way, wrong turns, and the search ----


def right_way(state: SudokuState) -> Iterator[tuple[SudokuState, int, str]]:
    """Each state on the way to the solution, the cell that is next there and the digit it must have."""
    while (cell := state.next_cell) is not None:
        digit = str(state.puzzle.solution[cell])
        yield state, cell, digit
        state = place(state, cell, digit)


def walk(state: SudokuState, cell: int, digit: str) -> list[str]:
    """A wrong digit, then the lowest candidate of each next cell, up to the line of one that has none.

    As the digit is wrong, no way of going on fills the board.
    """
    lines = [place_line(state, cell, digit)]
    state = place(state, cell, digit)
    while True:
        at = state.next_cell
        assert at is not None, "a wrong digit led to a solution"
        candidates = allowed(state, at).all_three
        if not candidates:
            return [*lines, _sets(state, at)]
        lines.append(place_line(state, at, candidates[0]))
        state = place(state, at, candidates[0])


def search(state: SudokuState, max_lines: int) -> tuple[str, ...] | None:
    """Try the candidates of each next cell depth first, ascending, and write down every step.

    A cell without candidates has its line; then `<backtrack> j` goes to the deepest cell with a candidate left,
    `j` cells being filled before it. What it leaves has been tried in full.

    Returns:
        The lines, or None where they would be more than `max_lines`.
    """
    lines: list[str] = []
    path = [(state, _candidates(state))]
    turned_back = False
    while path:
        state, untried = path[-1]
        cell = state.next_cell
        if cell is None:
            return tuple(lines)
        digit = next(untried, None)
        if digit is None:
            path.pop()
            turned_back = True
            continue
        if turned_back:
            lines.append(f"{BACKTRACK} {len(path) - 1}")
            turned_back = False
        lines.append(place_line(state, cell, digit))
        state = place(state, cell, digit)
        path.append((state, _candidates(state)))
        at = state.next_cell
        if at is not None and not allowed(state, at).all_three:
            lines.append(_sets(state, at))
        if len(lines) > max_lines:
            return None
    raise AssertionError("the board has no solution")


def _candidates(state: SudokuState) -> Iterator[str]:
    cell = state.next_cell
    return iter("" if cell is None else allowed(state, cell).all_three)
