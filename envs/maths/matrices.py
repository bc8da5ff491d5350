r"""Matrices, and sums, products and powers of them.

In: tokens, and how the reader reads the tokens of a cell. Out: a `MathAnswer` of kind MATRIX, its cells worked
out as exact numbers or formulas; None if there is none.

A number in front of a matrix is a way of writing it, as in an inverse, ``\frac{1}{5}\begin{pmatrix}…``. Sums,
products, powers and transposes are left to compute: an answer may have one only if the right answer has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from envs.maths.algebra import read_tree
from envs.maths.exact import is_computed, rational
from envs.maths.grammar import glue, split_top, strip
from envs.maths.numerals import Tree
from envs.maths.values import MAX_ITEMS, Kind, MathAnswer, number_tree

Cells = list[list[Tree]]
ReadCell = Callable[[list[str]], MathAnswer | None]
MAX_MATRICES = 4
MAX_POWER = 4
MAX_NODES = 4000
_NAMES = ("pmatrix", "bmatrix", "matrix", "vmatrix", "Bmatrix")
_PLACE = "\\matrix"  # stands for a matrix while the formula around it is read


def read_matrix(tokens: list[str], read_cell: ReadCell) -> MathAnswer | None:
    """Read a matrix, or a formula with matrices."""
    outer, blocks = _blocks(tokens)
    if not blocks or len(blocks) > MAX_MATRICES:
        return None
    matrices = [_read_block(block, read_cell) for block in blocks]
    kept = [matrix for matrix in matrices if matrix is not None]
    if len(kept) < len(matrices):
        return None
    if outer == [_PLACE]:
        return kept[0]
    values = [_cells(matrix) for matrix in kept]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    found = _Formula(outer, known)
    cells = found.sum()
    if cells is None or sum(_size(cell) for row in cells for cell in row) > MAX_NODES:
        return None
    rows = tuple(MathAnswer(kind=Kind.TUPLE, items=tuple(map(_answer, row))) for row in cells)
    return MathAnswer(kind=Kind.MATRIX, items=rows, is_computed=found.is_computed)


def _blocks(tokens: list[str]) -> tuple[list[str], list[list[str]]]:
    r"""The tokens with a sign in place of each ``\begin{…} … \end{…}``, and these blocks."""
    outer: list[str] = []
    blocks: list[list[str]] = []
    at = 0
    while at < len(tokens):
        if tokens[at] == "\\begin":
            end = next((place for place in range(at, len(tokens)) if tokens[place] == "\\end"), len(tokens))
            close = next((place for place in range(end, len(tokens)) if tokens[place] == "}"), len(tokens))
            blocks.append(tokens[at : close + 1])
            outer.append(_PLACE)
            at = close + 1
        else:
            outer.append(tokens[at])
            at += 1
    return strip(outer), blocks


def _read_block(tokens: list[str], read_cell: ReadCell) -> MathAnswer | None:
    name = glue(tokens[:4])[len("\\begin{") : -1]
    if name not in _NAMES or glue(tokens[-4:]) != f"\\end{{{name}}}":
        return None
    lines = split_top(strip(tokens[4:-4]), "\\\\")
    if lines and not lines[-1]:
        lines.pop()
    rows: list[MathAnswer] = []
    for line in lines:
        parts = split_top(line, "&")
        cells = [cell for part in parts if (cell := read_cell(part)) is not None and cell.kind is not Kind.LIST]
        if len(cells) < len(parts) or not cells:
            return None
        rows.append(MathAnswer(kind=Kind.TUPLE, items=tuple(cells)))
    if not rows or len({len(row.items) for row in rows}) != 1 or len(rows) * len(rows[0].items) > MAX_ITEMS:
        return None
    return MathAnswer(kind=Kind.MATRIX, items=tuple(rows), word="determinant" if name == "vmatrix" else "")


def _cells(matrix: MathAnswer) -> Cells | None:
    """The cells as formulas; None if one is none, or if it is a determinant."""
    if matrix.word:
        return None
    rows: Cells = []
    for row in matrix.items:
        cells: list[Tree] = []
        for cell in row.items:
            is_number = cell.kind is Kind.NUMBER and not cell.infinity and not cell.is_computed
            tree = number_tree(cell) if is_number else cell.tree
            if tree is None or cell.unit is not None:
                return None
            cells.append(tree)
        rows.append(cells)
    return rows


def _answer(tree: Tree) -> MathAnswer:
    value = rational(tree)
    return (
        MathAnswer(kind=Kind.FORMULA, tree=tree) if value is None else MathAnswer(kind=Kind.NUMBER, value=value)
    )


class _Formula:
    """Reads and works out a formula with matrices; methods return None where it is none.

    Attributes:
        is_computed: Whether there is more than a number in front of one matrix.
    """

    def __init__(self, tokens: Sequence[str], matrices: Sequence[Cells]) -> None:
        self.tokens = [token for token in tokens if token != " "]
        self.matrices = list(matrices)
        self.at = 0
        self.is_computed = len(matrices) > 1

    def sum(self) -> Cells | None:
        total: Cells | None = None
        while self.at < len(self.tokens):
            is_minus = self.tokens[self.at] == "-"
            if self.tokens[self.at] in "+-":
                self.at += 1
            elif total is not None:
                return None
            term = self.term()
            if term is None:
                return None
            if is_minus:
                term = [[("neg", cell) for cell in row] for row in term]
            if total is not None and _shape(total) != _shape(term):
                return None
            total = term if total is None else _added(total, term)
        return total

    def term(self) -> Cells | None:
        start = self.at
        while self.at < len(self.tokens) and self.tokens[self.at] != _PLACE:
            self.at += 1
        if self.at == len(self.tokens):
            return None
        scalar = self.tokens[start : self.at]
        while scalar[-1:] == ["*"]:
            scalar.pop()
        product = self.power()
        while product is not None and self.at < len(self.tokens) and self.tokens[self.at] in ("*", _PLACE):
            self.at += self.tokens[self.at] == "*"
            if self.tokens[self.at : self.at + 1] != [_PLACE]:
                return None
            other = self.power()
            if other is None or len(product[0]) != len(other):
                return None
            product = _multiplied(product, other)
        if product is None or not scalar:
            return product
        factor = read_tree(scalar)
        if factor is None:
            return None
        self.is_computed |= is_computed(factor)
        return [[("*", factor, cell) for cell in row] for row in product]

    def power(self) -> Cells | None:
        """A matrix with its exponent."""
        matrix = self.matrices.pop(0)
        self.at += 1
        if self.tokens[self.at : self.at + 2] != ["^", "{"]:
            return matrix
        end = self.tokens.index("}", self.at) if "}" in self.tokens[self.at :] else -1
        exponent = "".join(self.tokens[self.at + 2 : end]).removeprefix("'")
        self.at = end + 1
        self.is_computed = True
        if exponent in ("T", "\\top", "t"):
            return [list(column) for column in zip(*matrix, strict=True)]
        if len(matrix) != len(matrix[0]):
            return None
        if exponent == "-1":
            return _inverse(matrix)
        if not exponent.isdecimal() or not 1 <= int(exponent) <= MAX_POWER or len(exponent) > 1:
            return None
        product = matrix
        for _ in range(int(exponent) - 1):
            product = _multiplied(product, matrix)
            if sum(_size(cell) for row in product for cell in row) > MAX_NODES:
                return None
        return product


def _shape(cells: Cells) -> tuple[int, int]:
    return len(cells), len(cells[0])


def _size(tree: Tree) -> int:
    return 1 + sum(_size(part) for part in tree[1:] if isinstance(part, tuple))


def _short(tree: Tree) -> Tree:
    """A formula that is a rational number as that number."""
    value = rational(tree)
    return tree if value is None else ("n", *value.as_integer_ratio())


def _added(one: Cells, other: Cells) -> Cells:
    return [[_short(("+", *pair)) for pair in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]


def _multiplied(one: Cells, other: Cells) -> Cells:
    columns = list(zip(*other, strict=True))
    return [
        [_short(("+", *(("*", *pair) for pair in zip(row, column, strict=True)))) for column in columns]
        for row in one
    ]


def _inverse(cells: Cells) -> Cells | None:
    """The inverse of a matrix of rational numbers, by elimination; None if it has none."""
    size = len(cells)
    rows: list[list[Fraction]] = []
    for at, row in enumerate(cells):
        values = [value for cell in row if (value := rational(cell)) is not None]
        if len(values) < size:
            return None
        rows.append(values + [Fraction(at == place) for place in range(size)])
    for at in range(size):
        pivot = next((place for place in range(at, size) if rows[place][at]), None)
        if pivot is None:
            return None
        rows[at], rows[pivot] = rows[pivot], rows[at]
        rows[at] = [value / rows[at][at] for value in rows[at]]
        for place in range(size):
            if place != at and (factor := rows[place][at]):
                rows[place] = [a - factor * b for a, b in zip(rows[place], rows[at], strict=True)]
    return [[("n", *value.as_integer_ratio()) for value in row[size:]] for row in rows]
