"""Sudoku boards: reading, solving and drawing them.

In: the text of a question, or a side and a number of empty cells. Out: a `Puzzle` with its only solution. Sides
are 4, 6 and 9, with boxes of 2 by 2, of 2 rows by 3 columns, and of 3 by 3. Cells are numbered row by row from
0 and hold a digit, or 0 if they are empty. A question has one line per row and shows an empty cell as a point::

    Sudoku, boxes 2x2:
    ..3.
    ..41
    1324
    .4.3

or one per given cell, ``r1c3: 3``, then ``r2c3: 4`` and so on.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from envs.seeding import derive_random

Cells = tuple[int, ...]
BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box, for each side."""
MOST_EMPTY = {4: 11, 6: 25, 9: 55}
"""Largest number of empty cells, for each side. Over 95 in 100 full boards allow that many."""
_MAX_BOARDS = 1000
_NEW_FRAC = 0.25
_EMPTY = "."
_GIVEN = re.compile("r([1-9])c([1-9]): ([1-9])")


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A board to fill, and its only solution.

    Example: the question above has `side=4`, `givens=(0, 0, 3, 0, 0, 0, 4, 1, ...)` and
    `solution=(4, 1, 3, 2, 3, 2, 4, 1, ...)`.

    Attributes:
        side: Number of rows, of columns, of boxes and of digits.
        givens: The cells of the question.
        solution: The cells of the solution.
    """

    side: int
    givens: Cells
    solution: Cells


@lru_cache(maxsize=1024)
def read_puzzle(question: str) -> Puzzle:
    """Read the text of a question and solve it. Cached, so that checking a trace does not solve it again.

    Raises:
        ValueError: The board has no solution, or several.
    """
    heading, *lines = question.split("\n")
    side = next(side for side in BOXES if heading == _heading(side))
    listed = [_GIVEN.fullmatch(line) for line in lines]
    if all(listed):
        cells = [0] * side**2
        for given in listed:
            row, column, digit = map(int, given.groups())  # type: ignore[union-attr]
            cells[(row - 1) * side + column - 1] = digit
    else:
        cells = [int(cell) for row in lines for cell in row.replace(_EMPTY, "0")]
    givens = tuple(cells)
    found = list(islice(solutions(givens, side), 2))
    if len(found) != 1:
        raise ValueError(f"the board has {'several solutions' if found else 'no solution'}: {question!r}")
    return Puzzle(side, givens, found[0])


def write_question(side: int, givens: Sequence[int], *, listed: bool = False) -> str:
    """The text of a question: its rows, or a line for each given cell."""
    if listed:
        lines = [f"{cell_name(i, side)}: {digit}" for i, digit in enumerate(givens) if digit]
    else:
        lines = rows_of("".join([str(digit) if digit else _EMPTY for digit in givens]), side)
    return "\n".join([_heading(side), *lines])


def _heading(side: int) -> str:
    height, width = BOXES[side]
    return f"Sudoku, boxes {height}x{width}:"


def cell_name(cell: int, side: int) -> str:
    """The name of a cell by its row and column, both from 1: "r1c3"."""
    row, column = divmod(cell, side)
    return f"r{row + 1}c{column + 1}"


def rows_of(text: str, side: int) -> list[str]:
    """Split a text with one character per cell into rows."""
    return [text[start : start + side] for start in range(0, len(text), side)]


@lru_cache(maxsize=len(BOXES))
def units(side: int) -> tuple[tuple[Cells, Cells, Cells], ...]:
    """For each cell, the cells of its row, its column and its box."""
    places = _places(side)
    members = [tuple(i for i, place in enumerate(places) if unit in place) for unit in range(3 * side)]
    return tuple((members[row], members[column], members[box]) for row, column, box in places)


@lru_cache(maxsize=len(BOXES))
def _places(side: int) -> tuple[tuple[int, int, int], ...]:
    """For each cell, the numbers of its row, column and box; all units have distinct numbers."""
    height, width = BOXES[side]
    num_across = side // width
    return tuple(
        (row, side + column, 2 * side + row // height * num_across + column // width)
        for row in range(side)
        for column in range(side)
    )


# ---- solving ----


def solutions(cells: Sequence[int], side: int, rng: random.Random | None = None) -> Iterator[Cells]:
    """All solutions of a board; the search always fills a cell with the fewest candidates next.

    Args:
        cells: The board; no row, column or box has a digit twice.
        side: Its side.
        rng: Draws the order of the candidates; None for ascending order.
    """
    used = [0] * (3 * side)  # digits of each unit, as bits
    empty: list[tuple[int, int, int, int]] = []
    for i, (digit, place) in enumerate(zip(cells, _places(side), strict=True)):
        if digit:
            for unit in place:
                used[unit] |= 1 << digit
        else:
            empty.append((i, *place))
    return _fill(list(cells), empty, used, (2 << side) - 2, rng)


def _fill(
    grid: list[int],
    empty: list[tuple[int, int, int, int]],
    used: list[int],
    digits: int,
    rng: random.Random | None,
) -> Iterator[Cells]:
    if not empty:
        yield tuple(grid)
        return
    fewest, at, candidates = 99, 0, 0
    for i, (_, row, column, box) in enumerate(empty):
        free = digits & ~(used[row] | used[column] | used[box])
        if (count := free.bit_count()) < fewest:
            fewest, at, candidates = count, i, free
            if count < 2:
                break
    if not candidates:
        return
    cell, row, column, box = empty[at]
    rest = empty[:at] + empty[at + 1 :]
    order = [digit for digit in range(1, candidates.bit_length()) if candidates >> digit & 1]
    if rng is not None and fewest > 1:
        rng.shuffle(order)
    for digit in order:
        bit = 1 << digit
        grid[cell] = digit
        used[row] |= bit
        used[column] |= bit
        used[box] |= bit
        yield from _fill(grid, rest, used, digits, rng)
        used[row] ^= bit
        used[column] ^= bit
        used[box] ^= bit


# ---- drawing ----


def draw_puzzle(side: int, num_empty: int, rng: random.Random) -> Puzzle:
    """Draw a board with exactly one solution.

    Solving the empty board with candidates in random order gives a full board; then `dig` empties cells.

    Raises:
        ValueError: None of `_MAX_BOARDS` full boards allows that many empty cells.
    """
    for _ in range(_MAX_BOARDS):
        solution = next(solutions([0] * side**2, side, rng))
        givens = dig(solution, side, num_empty, rng)
        if givens is not None:
            return Puzzle(side, givens, solution)
    raise ValueError(
        f"no board of side {side} with {num_empty} empty cells in {_MAX_BOARDS} draws; use fewer empty cells"
    )


@lru_cache(maxsize=1024)
def is_new(solution: Cells) -> bool:
    """Whether a full board is among the one in four that buckets of new boards hold out."""
    return derive_random("sudoku", "new board", "".join(map(str, solution))).random() < _NEW_FRAC


def dig(solution: Cells, side: int, num_empty: int, rng: random.Random) -> Cells | None:
    """Empty some cells of a full board so that it keeps exactly one solution.

    Cells are taken in random order, and each is emptied unless the board would get a second solution. Several
    cells are tried at once, with the same result: if all of them can be emptied, each of them can.

    Returns:
        The board with exactly `num_empty` empty cells, or None if fewer can be emptied in this order.
    """
    order = rng.sample(range(side**2), side**2)
    givens = list(solution)
    size = num_empty
    while num_empty and order:
        taken = order[: min(size, num_empty)]
        for cell in taken:
            givens[cell] = 0
        if _has_one_solution(givens, side):
            num_empty -= len(taken)
        elif len(taken) > 1:
            size = len(taken) // 2
            for cell in taken:
                givens[cell] = solution[cell]
            continue
        else:
            givens[taken[0]] = solution[taken[0]]
        del order[: len(taken)]
    return None if num_empty else tuple(givens)


def _has_one_solution(givens: Sequence[int], side: int) -> bool:
    return sum(1 for _ in islice(solutions(givens, side), 2)) == 1
