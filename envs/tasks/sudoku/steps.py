"""The lines of `sudoku`, and their effect on a state.

In: a state and a line a model wrote. Out: the state after it, or a `StepError`; also the lines of a wrong turn
followed to its dead end, and those of a whole search. One bounded regular expression matches a line, and its
fields are compared as text; only single digits are converted to numbers.
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
_FIELDS = ("row", "column", "box", "candidates")


@dataclass(frozen=True, slots=True)
class SudokuState:
    """A partly filled board.

    Attributes:
        puzzle: The board and its solution.
        cells: The digits placed so far, 0 for an empty cell.
    """

    puzzle: Puzzle
    cells: Cells

    @property
    def next_cell(self) -> int | None:
        """The first empty cell, row by row; None if all cells are filled."""
        return self.cells.index(0) if 0 in self.cells else None


class Allowed(NamedTuple):
    """The digits missing around an empty cell, each set in ascending order.

    Example: `Allowed(row="125", column="258", box="129", all_three="2")`.

    Attributes:
        row: Those missing in its row.
        column: Those missing in its column.
        box: Those missing in its box.
        all_three: Those missing in all three: the candidates of the cell, which may be none.
    """

    row: str
    column: str
    box: str
    all_three: str


def allowed(state: SudokuState, cell: int) -> Allowed:
    """The digits a cell may have, given the digits placed so far."""
    cells, digits = state.cells, (2 << state.puzzle.side) - 2
    missing = []
    for unit in units(state.puzzle.side)[cell]:
        placed = 0
        for i in unit:
            placed |= 1 << cells[i]
        missing.append(digits & ~placed)
    row, column, box = missing
    return Allowed(_TEXTS[row], _TEXTS[column], _TEXTS[box], _TEXTS[row & column & box])


def place(state: SudokuState, cell: int, digit: str) -> SudokuState:
    """The state after a digit is placed."""
    return SudokuState(state.puzzle, (*state.cells[:cell], int(digit), *state.cells[cell + 1 :]))


def advance(state: SudokuState, line: str) -> SudokuState:
    """Place a digit in the next cell, state that it has no candidate, or look at an empty cell.

    Raises:
        StepError: The line is not a valid step from this state.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise StepError("not a line about a cell")
    see, row, column, *stated, digit = match.groups()
    side = state.puzzle.side
    name = f"r{row}c{column}"
    if int(row) > side or int(column) > side:
        raise StepError(f"the board has no {name}")
    cell = (int(row) - 1) * side + int(column) - 1
    if state.cells[cell]:
        raise StepError(f"{name} is already filled")
    if not see and cell != state.next_cell:
        raise StepError(f"the next cell is {_name(state, state.cells.index(0))}")
    right = allowed(state, cell)
    for field, got, should in zip(_FIELDS, stated, right, strict=True):
        if got != (should or _NONE):
            raise StepError(f"{field} should be {should or _NONE}")
    if see:
        if digit:
            raise StepError("a 'see' line places no digit")
        return state
    if not digit:
        if right.all_three:
            raise StepError(f"a digit is missing, one of {right.all_three}")
        return state
    if digit not in right.all_three:
        raise StepError(f"{digit} is not one of {right.all_three or _NONE}")
    return place(state, cell, digit)


# ---- lines ----


def look_line(state: SudokuState, cell: int) -> str:
    """The line that states the candidates of an empty cell and places nothing."""
    return f"{_SEE}{_sets(state, cell)}"


def place_line(state: SudokuState, cell: int, digit: str) -> str:
    """The line that places a digit."""
    return f"{_sets(state, cell)} > {digit}"


def _sets(state: SudokuState, cell: int) -> str:
    """A cell and its missing digits; without a digit after it, this is the line of a dead end."""
    row, column, box, all_three = allowed(state, cell)
    return f"{_name(state, cell)}: {row}, {column}, {box}, {all_three or _NONE}"


def _name(state: SudokuState, cell: int) -> str:
    row, column = divmod(cell, state.puzzle.side)
    return f"r{row + 1}c{column + 1}"


# ---- the solution, wrong turns, and the search ----


def right_way(state: SudokuState) -> Iterator[tuple[SudokuState, int, str]]:
    """Each state on the way to the solution, with its next cell and the right digit."""
    while (cell := state.next_cell) is not None:
        digit = str(state.puzzle.solution[cell])
        yield state, cell, digit
        state = place(state, cell, digit)


def walk(state: SudokuState, cell: int, digit: str) -> list[str]:
    """A wrong digit, then the lowest candidate of each next cell, until a cell has none.

    Since the digit is wrong, no continuation fills the board.
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
    """Search depth first with candidates in ascending order, and write down every step.

    A cell without candidates gets a line. Then `<backtrack> j` returns to the deepest cell with an untried
    candidate, where `j` is the number of cells filled before it. The branch it leaves has been searched
    completely.

    Returns:
        The lines, or None if there would be more than `max_lines`.
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
