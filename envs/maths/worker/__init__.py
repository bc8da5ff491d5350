r"""The worker's part of the grader: its operations on formulas.

In: trees of `envs.maths.algebra` as JSON, never text. Out: JSON. `envs.sandbox` loads this folder by its path;
no other module imports it but tests, and it imports no other module of Stride. The sandbox limits time and
memory.

Formulas are compared as numbers (`formulas.py`, `walk.py`, with mpmath). What numbers cannot tell, the
solutions of an inequality and which roots two equations share, is left to sympy (`symbolic.py`), which is
imported when it is first needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import formulas, walk


def warm_up() -> None:
    """Use everything but sympy once, before any worker is forked."""
    x = ["v", "x"]
    trees = [["f", name, x] for name in walk.FUNCTIONS] + [["root", x, ["n", 2, 1]], ["log", None, x]]
    compare([*trees, ["rel", "=", x, ["n", 1, 1]], ["^", ["c", "e"], ["c", "pi"]]])


def compare(trees: Sequence[Any]) -> list[list[list[Any]]]:
    """For each formula its class, equal for equal ones, and its value: see `formulas.compare`."""
    return formulas.compare(trees)


def warm_up_same_solutions() -> None:
    """Import sympy before the first call of `same_solutions`."""
    zero, two = ["n", 0, 1], ["n", 2, 1]
    same_solutions(["rel", "<", ["^", ["v", "x"], two], two], ["rel", "<", ["v", "x"], zero])


def same_solutions(gold: Any, answer: Any) -> bool:
    """Whether two conditions on one letter have the same real solutions: see `symbolic.same_solutions`."""
    from . import symbolic

    return symbolic.same_solutions(gold, answer)


def warm_up_shared_roots() -> None:
    """Import sympy before the first call of `shared_roots`."""
    shared_roots([[-1, 1], [0, 1], [1, 1]], [[-1, 1], [1, 1]])


def shared_roots(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> list[int]:
    """The numbers of real roots of two polynomials and of both: see `symbolic.shared_roots`."""
    from . import symbolic

    return symbolic.shared_roots(one, other)
