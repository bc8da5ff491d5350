r"""One equation, or a chain of them, as formulas.

In: the text of one equation, in LaTeX or plain, such as ``A = \frac12 \cdot 3 \cdot 4 = 6``. Out: its sides as
trees of `envs.maths.algebra`. With ``\pm`` there are two chains. A side in words ahead of the others,
``\text{Area} = …``, is a label; other sides that are no formula are None and claim nothing. Units are read
over.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from envs.grading import why_refused
from envs.maths.algebra import letters_of, read_tree
from envs.maths.grammar import CLOSE, MAX_CHARS, OPEN, TooDeep, merge_thousands, split_top, tokenize
from envs.maths.numerals import Tree
from envs.maths.single import read_single
from envs.maths.spelling import respell
from envs.maths.values import Kind, number_tree
from envs.maths.vocabulary import FUNCTIONS

MAX_SIDES = 8
MAX_SIDE_TOKENS = 120
_RELATIONS = ("=", "\\approx")
_OTHERS = frozenset(("<", ">", "<=", ">=", "!=", "\\equiv", "\\in", "\\cup", "\\cap", "\\setminus", "\\pmod"))
_BREAK = re.compile(r"\\\\(?:\[[^\]\n]{0,12}\])?|[ \t\r\n]+|&")
_SIGNS = ({"\\pm": "+", "\\mp": "-"}, {"\\pm": "-", "\\mp": "+"})


class Chain(NamedTuple):
    """Sides that are said to be equal, and which pairs of neighbours are said to be only about equal."""

    sides: tuple[Tree | None, ...]
    is_approximate: tuple[bool, ...]

    @property
    def pairs(self) -> list[tuple[Tree, Tree, bool]]:
        """Neighbours that are both formulas and not the same one, with whether they are only about equal."""
        joined = zip(pairwise(self.sides), self.is_approximate, strict=True)
        return [(one, other, about) for (one, other), about in joined if one and other and one != other]


@lru_cache(maxsize=1024)
def read_chains(text: str) -> tuple[Chain, ...]:
    """The chain of a text, two if it has both signs; none if it claims nothing of formulas. Never raises."""
    if "=" not in text and "approx" not in text and "≈" not in text:
        return ()
    text = respell(_BREAK.sub(" ", text).replace("\\boxed", " "))
    if len(text) > MAX_CHARS or why_refused(text, max_chars=MAX_CHARS):
        return ()
    try:
        tokens = merge_thousands(tokenize(text))
    except TooDeep:
        return ()
    if not _OTHERS.isdisjoint(tokens):
        return ()
    if "\\pm" in tokens:
        found = [_chain([signs.get(token, token) for token in tokens]) for signs in _SIGNS]
    else:
        found = [_chain(tokens)]
    return tuple(chain for chain in found if chain is not None and chain.pairs)


def _chain(tokens: list[str]) -> Chain | None:
    parts = split_top(tokens, *_RELATIONS)
    about: list[bool] = []
    depth = 0
    for token in tokens:
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0 and token in _RELATIONS:
            about.append(token == "\\approx")
    if not 2 <= len(parts) <= MAX_SIDES or len(about) != len(parts) - 1:
        return None
    in_degrees = "\\pi" not in tokens
    return Chain(tuple(_side(part, in_degrees) for part in parts), tuple(about))


def _side(tokens: list[str], in_degrees: bool) -> Tree | None:
    """The formula of one side, without its unit; `in_degrees`: degrees are one."""
    if in_degrees and FUNCTIONS.isdisjoint(tokens):
        tokens = [token for token in tokens if token != "°"]
    while tokens[-1:] in (["."], [","]):
        tokens = tokens[:-1]
    if not tokens or len(tokens) > MAX_SIDE_TOKENS:
        return None
    tree = read_tree(tokens)
    if tree is not None:
        return tree
    answer = read_single(tokens)
    if answer is None or answer.infinity:
        return None
    if answer.kind is Kind.NUMBER:
        return number_tree(answer)
    return answer.tree if answer.kind is Kind.FORMULA else None


def num_operations(tree: Tree) -> int:
    """Number of operations, roots and functions of a formula without letters; 0 for numbers and all others."""
    return 0 if letters_of(tree) else _operations(tree)


def _operations(tree: Tree) -> int:
    inner = sum(_operations(part) for part in tree[1:] if isinstance(part, tuple))
    if tree[0] in ("+", "*"):
        return inner + len(tree) - 2
    if tree[0] == "/" and tree[2] == ("n", 180, 1) and tree[1][0] == "*" and tree[1][-1] == ("c", "pi"):
        return inner - 1  # degrees
    if tree[0] == "/" and tree[1][0] == "n" and tree[2][0] == "n":
        return inner + int(tree[1][1] % (tree[2][1] or 1) == 0)  # 3/4 is a number
    return inner + (tree[0] in ("/", "^", "root", "f", "log", "binom"))
