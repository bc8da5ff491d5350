"""The rules of `arc_1d`, which turn one row of pixels into another.

In: a row, written as digits; 0 is empty, 1 to 9 are colours. Out: a row of the same width. A rule depends only
on the row and is defined for every row; its parameters are part of its name. `RULES` lists the rules by name,
in the order in which a search tries them.

The ideas come from 1D-ARC (arXiv 2305.18354) as listed in reasoning-gym. There a row is made to fit its rule
(one block to move, one dot to reach). The rules here are ours: they need nothing but the row, and any row can
be used with any rule.

Terms: a *pixel* is a coloured cell, a *block* a maximal sequence of adjacent pixels, and a *run* a sequence of
adjacent pixels of one colour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

Rule = Callable[[str], str]

EMPTY = "0"
_PIXEL = re.compile("[1-9]")
_BLOCK = re.compile("[1-9]+")
_DOT = re.compile("(?<![1-9])[1-9](?![1-9])")  # a block of one pixel
_PAIR = re.compile("0?(?<![1-9])[1-9]{2}(?![1-9])0?")  # a block of two, and the empty cells next to it
_LONG_RUN = re.compile(r"([1-9])\1{2,}")
_GAP = re.compile(r"(?<=([1-9]))0+(?=\1)")  # between two pixels of one colour
_BETWEEN = re.compile(r"(?<=([1-9]))[1-9](?=\1)")
_MARKED = re.compile(r"[1-9]([1-9])\1*")  # of one colour except the first pixel


def right(left: Rule) -> Rule:
    """The mirror image of a rule, for the other direction."""
    return lambda row: left(row[::-1])[::-1]


# ---- moves ----


def move_left(row: str, by: int) -> str:
    """Every pixel moves left; pixels that pass the end are lost."""
    return row[by:] + EMPTY * by


def wrap_left(row: str, by: int) -> str:
    """Every pixel moves left; pixels that pass the end enter at the other end."""
    return row[by:] + row[:by]


def gravity_left(row: str) -> str:
    """Pixels fall to the left end."""
    return _pixels(row).ljust(len(row), EMPTY)


def step_left(row: str) -> str:
    """The first empty cell is removed, and every pixel to its right moves left by one."""
    return row.replace(EMPTY, "", 1) + EMPTY if EMPTY in row else row


def part(row: str) -> str:
    """Pixels of even colours fall to the left end, those of odd colours to the right end."""
    even = "".join(pixel for pixel in _pixels(row) if pixel in "2468")
    odd = "".join(pixel for pixel in _pixels(row) if pixel in "13579")
    return even.ljust(len(row) - len(odd), EMPTY) + odd


def move_block(row: str) -> str:
    """The first block moves right by its length and covers other pixels; pixels that pass the end are lost."""
    block = _BLOCK.search(row)
    if block is None:
        return row
    start, end, size = block.start(), block.end(), len(block[0])
    return (row[:start] + EMPTY * size + block[0] + row[end + size :])[: len(row)]


# ---- order ----


def mirror(row: str) -> str:
    """The row is reversed."""
    return row[::-1]


def flip_blocks(row: str) -> str:
    """Each block is reversed in place."""
    return _BLOCK.sub(lambda block: block[0][::-1], row)


def flip_marked(row: str) -> str:
    """Blocks that have one colour except for their first pixel are reversed in place."""
    return _BLOCK.sub(lambda block: block[0][::-1] if _MARKED.fullmatch(block[0]) else block[0], row)


def sort_blocks(row: str) -> str:
    """Blocks are sorted by length, the shortest first; gaps and blocks of equal length keep their order."""
    blocks = sorted(_BLOCK.findall(row), key=len)
    gaps = _BLOCK.split(row)
    return gaps[0] + "".join(block + gap for block, gap in zip(blocks, gaps[1:], strict=True))


def sort_pixels(row: str) -> str:
    """Pixels fall to the left end, sorted with the highest colour first."""
    return "".join(sorted(row, reverse=True))


# ---- filling and clearing ----


def spread_right(row: str) -> str:
    """Each pixel fills the empty cells to its right up to the next pixel or the end."""
    cells = list(row)
    for i in range(1, len(cells)):
        if cells[i] == EMPTY:
            cells[i] = cells[i - 1]
    return "".join(cells)


def fill(row: str) -> str:
    """A gap between two pixels of one colour takes that colour."""
    return _GAP.sub(lambda gap: gap[1] * len(gap[0]), row)


def hollow(row: str) -> str:
    """A run of at least three pixels keeps only its two ends."""
    return _LONG_RUN.sub(lambda run: run[1] + EMPTY * (len(run[0]) - 2) + run[1], row)


def denoise(row: str) -> str:
    """Blocks of one pixel are cleared."""
    return _DOT.sub(EMPTY, row)


def mend(row: str) -> str:
    """A pixel between two pixels of one colour takes that colour; all at once."""
    return _BETWEEN.sub(lambda pixel: pixel[1], row)


# ---- painting ----


def paint_five(row: str) -> str:
    """Every pixel takes colour 5."""
    return _PIXEL.sub("5", row)


def paint_size(row: str) -> str:
    """Each block takes its length as its colour, 9 if it is longer."""
    return _BLOCK.sub(lambda block: str(min(len(block[0]), 9)) * len(block[0]), row)


def paint_parity(row: str) -> str:
    """Blocks of odd length take colour 1, those of even length 2."""
    return _BLOCK.sub(lambda block: ("1" if len(block[0]) % 2 else "2") * len(block[0]), row)


def paint_half(row: str) -> str:
    """The left half of each block takes colour 8; a middle pixel stays."""
    return _BLOCK.sub(lambda block: "8" * (len(block[0]) // 2) + block[0][len(block[0]) // 2 :], row)


def paint_longest(row: str) -> str:
    """The longest block takes colour 1; if several are longest, all of them do."""
    longest = max(map(len, _BLOCK.findall(row)), default=0)
    return _BLOCK.sub(lambda block: "1" * longest if len(block[0]) == longest else block[0], row)


def mark_pairs(row: str) -> str:
    """The empty cells next to blocks of two pixels take colour 3."""
    return _PAIR.sub(lambda pair: pair[0].replace(EMPTY, "3"), row)


# ---- copying ----


def copy_block(row: str) -> str:
    """The first block, if longer than one pixel, is copied to each later block of one pixel, starting there."""
    return _copy(row, in_its_colour=False)


def copy_shape(row: str) -> str:
    """Like `copy_block`, but each copy has the colour of the pixel it starts at."""
    return _copy(row, in_its_colour=True)


def repeat(row: str) -> str:
    """A block at the left end is repeated up to the right end."""
    block = _BLOCK.match(row)
    return row if block is None else (block[0] * len(row))[: len(row)]


def count(row: str) -> str:
    """All pixels are moved to the left end and take colour 1."""
    return ("1" * len(_pixels(row))).ljust(len(row), EMPTY)


def _pixels(row: str) -> str:
    return row.replace(EMPTY, "")


def _copy(row: str, *, in_its_colour: bool) -> str:
    block = _BLOCK.search(row)
    if block is None or len(block[0]) < 2:
        return row
    made, size = row, len(block[0])
    for dot in _DOT.finditer(row, block.end()):
        copied = dot[0] * size if in_its_colour else block[0]
        made = made[: dot.start()] + copied + made[dot.start() + size :]
    return made[: len(row)]


def _named() -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for by in (1, 2, 3):
        rules[f"move left {by}"] = partial(move_left, by=by)
        rules[f"move right {by}"] = right(partial(move_left, by=by))
    for by in (1, 2, 3):
        rules[f"wrap left {by}"] = partial(wrap_left, by=by)
        rules[f"wrap right {by}"] = right(partial(wrap_left, by=by))
    for name, rule in {"gravity": gravity_left, "step": step_left, "spread": right(spread_right)}.items():
        rules |= {f"{name} left": rule, f"{name} right": right(rule)}
    for rule in (
        *(mirror, flip_blocks, flip_marked, sort_blocks, sort_pixels, part, move_block),
        *(fill, hollow, denoise, mend),
        *(paint_five, paint_size, paint_parity, paint_half, paint_longest, mark_pairs),
        *(copy_block, copy_shape, repeat, count),
    ):
        rules[rule.__name__.replace("_", " ")] = rule
    return rules


RULES = _named()
"""All rules by name."""
