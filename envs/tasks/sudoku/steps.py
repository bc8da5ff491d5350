"""The lines of `sudoku`, and their effect on a state.

In: a state and a line a model wrote. Out: the state after it, or a `StepError`; also the lines of a wrong turn
followed to its dead end, and those of a whole search. One bounded regular expression matches a line, and its
fields are compared as text; only single digits are converted to numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from envs.path import StepError
from envs.tasks.sudoku.board import Cells, Puzzle, cell_name, units
from envs.trace import BACKTRACK

_SEE, _NONE = "see ", "none"
_TEXTS = tuple("".join([str(digit) for digit in range(1, 10) if bits >> digit & 1]) for bits in range(1 << 10))


class Stated(StrEnum):
    """What a line states about its cell besides the digit placed."""

    UNITS = "units"
    """The digits missing in its row, in its column and in its box, and those missing in all three, first."""
    UNTRIED = "untried"
    """The candidates above the digit, after it: those that a search in ascending order has yet to try. The line
    begins with the number of cells filled before it, which is what a backtrack to it names. This is ours; lines
    are a quarter as long."""


_SET = "[1-9]{1,9}"
_CELL = "r(?P<r>[1-9])c(?P<c>[1-9]): "
_LINES = {
    Stated.UNITS: re.compile(
        rf"(?P<see>{_SEE})?{_CELL}(?P<row>{_SET}), (?P<column>{_SET}), (?P<box>{_SET}), "
        rf"(?P<candidates>{_NONE}|{_SET})(?: > (?P<digit>[1-9]))?"
    ),
    Stated.UNTRIED: re.compile(
        rf"(?P<number>[0-9]{{1,2}})\. {_CELL}(?:{_NONE}|(?P<digit>[1-9])(?:/(?P<untried>{_SET}))?)"
    ),
}
_LOOK = re.compile(rf"(?P<see>{_SEE}){_CELL}(?P<candidates>{_NONE}|{_SET})")


@dataclass(frozen=True, slots=True)
class SudokuState:
    """A partly filled board.

    Attributes:
        puzzle: The board and its solution.
        cells: The digits placed so far, 0 for an empty cell.
        stated: What lines state about a cell.
    """

    puzzle: Puzzle
    cells: Cells
    stated: Stated = Stated.UNITS

    @property
    def next_cell(self) -> int | None:
        """The first empty cell, row by row; None if all cells are filled."""
        return self.cells.index(0) if 0 in self.cells else None


class Allowed(NamedTuple):
    """The digits missing around an empty cell, each set in ascending order.

    Example: `Allowed(row="125", column="258", box="129", candidates="2")`.

    Attributes:
        row: Those missing in its row.
        column: Those missing in its column.
        box: Those missing in its box.
        candidates: Those missing in all three: the candidates of the cell, which may be none.
    """

    row: str
    column: str
    box: str
    candidates: str


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
    return replace(state, cells=(*state.cells[:cell], int(digit), *state.cells[cell + 1 :]))


def advance(state: SudokuState, line: str) -> SudokuState:
    """Place a digit in the next cell, state that it has no candidate, or look at an empty cell.

    Raises:
        StepError: The line is not a valid step from this state.
    """
    match = _LINES[state.stated].fullmatch(line)
    if match is None and state.stated is Stated.UNTRIED:
        match = _LOOK.fullmatch(line)
    if match is None:
        raise StepError("not a line about a cell")
    fields = match.groupdict()
    side = state.puzzle.side
    row, column = int(fields.pop("r")), int(fields.pop("c"))
    name = f"r{row}c{column}"
    if row > side or column > side:
        raise StepError(f"the board has no {name}")
    cell = (row - 1) * side + column - 1
    if state.cells[cell]:
        raise StepError(f"{name} is already filled")
    see, digit = fields.pop("see", None), fields.pop("digit", None)
    if not see and cell != state.next_cell:
        raise StepError(f"the next cell is {_name(state, state.cells.index(0))}")
    right = allowed(state, cell)
    should = {**right._asdict(), "number": _number(state), "untried": _untried(right, digit)}
    for field, got in fields.items():
        if (got or _NONE) != (should[field] or _NONE):
            raise StepError(f"{field} should be {should[field] or _NONE}")
    if see:
        if digit:
            raise StepError("a 'see' line places no digit")
        return state
    if not digit:
        if right.candidates:
            raise StepError(f"a digit is missing, one of {right.candidates}")
        return state
    if digit not in right.candidates:
        raise StepError(f"{digit} is not one of {right.candidates or _NONE}")
    return place(state, cell, digit)


# ---- lines ----


def look_line(state: SudokuState, cell: int) -> str:
    """The line that states the candidates of an empty cell and places nothing."""
    return f"{_SEE}{_name(state, cell)}: {_sets(state, cell)}"


def place_line(state: SudokuState, cell: int, digit: str) -> str:
    """The line that places a digit."""
    if state.stated is Stated.UNITS:
        return f"{_name(state, cell)}: {_sets(state, cell)} > {digit}"
    rest = _untried(allowed(state, cell), digit)
    return f"{_number(state)}. {_name(state, cell)}: {digit}{f'/{rest}' if rest else ''}"


def dead_end_line(state: SudokuState, cell: int) -> str:
    """The line that states that a cell has no candidate."""
    line = f"{_name(state, cell)}: {_sets(state, cell)}"
    return line if state.stated is Stated.UNITS else f"{_number(state)}. {line}"


def _sets(state: SudokuState, cell: int) -> str:
    """The missing digits of a cell, in full or its candidates alone."""
    *units_missing, candidates = allowed(state, cell)
    shown = units_missing if state.stated is Stated.UNITS else []
    return ", ".join([*shown, candidates or _NONE])


def _number(state: SudokuState) -> str:
    """The number of cells filled since the start."""
    return str(state.puzzle.givens.count(0) - state.cells.count(0))


def _untried(right: Allowed, digit: str | None) -> str:
    """The candidates above a digit."""
    return "".join([candidate for candidate in right.candidates if digit is not None and candidate > digit])


def _name(state: SudokuState, cell: int) -> str:
    return cell_name(cell, state.puzzle.side)


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
        candidates = allowed(state, at).candidates
        if not candidates:
            return [*lines, dead_end_line(state, at)]
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
        if at is not None and not allowed(state, at).candidates:
            lines.append(dead_end_line(state, at))
        if len(lines) > max_lines:
            return None
    raise AssertionError("the board has no solution")


def _candidates(state: SudokuState) -> Iterator[str]:
    cell = state.next_cell
    return iter("" if cell is None else allowed(state, cell).candidates)
