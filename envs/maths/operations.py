"""The operations of the answer grader that use math-verify; they run in a worker that may be killed.

In: clean LaTeX from `envs.maths.grammar.to_latex`. Out: JSON values. `envs.sandbox` loads this file by its
path; no other module imports it, and it imports no other module of Stride. The sandbox limits time and memory;
math-verify's own limits use signals and are off. A sympy object is never printed or logged, because printing
one can take forever.

It is stricter than math-verify: it accepts one expression only, extracts nothing from prose, and refuses
equations that always hold, pairs of equations that are equal only because neither has a solution, nan, and
complex infinity.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import math_verify
import sympy
from math_verify.parser import LatexExtractionConfig, NormalizationConfig

logging.getLogger("math_verify").setLevel(logging.CRITICAL)
logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)

_CONFIG = (
    LatexExtractionConfig(
        boxed_match_priority=-1,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="none"
        ),
    ),
)


def warm_up() -> None:
    """Import and use everything once, before any worker is forked."""
    for gold, answer in (
        ("x^{2}+2x", "x(x+2)"),
        ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}"),
        ("2x+y=1", "y=1-2x"),
        ("\\{1,\\sqrt{2}\\}", "\\sqrt{2},1"),
        ("x<1", "-x>-1"),
        ("\\begin{pmatrix}1\\\\\\pi \\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\pi \\end{pmatrix}"),
        ("\\sin (x)^{2}+\\cos (x)^{2}", "1"),
    ):
        verify(gold, answer, 1e-6)


def read_gold(gold: str) -> bool:
    """Whether math-verify can read the right answer as one expression."""
    return _read_cached(gold) is not None


def verify(gold: str, answer: str, tolerance: float | None = None) -> bool | None:
    """Whether an answer equals the right one, or None if it cannot be read.

    Args:
        gold: LaTeX of the right answer; the parsed form is cached.
        answer: LaTeX of the answer.
        tolerance: Largest relative difference of two numbers; None requires equality.
    """
    right = _read_cached(gold)
    given = _read(answer)
    if right is None or given is None:
        return None
    try:
        same = math_verify.verify(
            [right], [given], strict=True, allow_set_relation_comp=True, timeout_seconds=None
        )
        if same and _is_relation(right) and _is_relation(given):
            return _has_solutions(right) and _has_solutions(given)
        return bool(same or (tolerance is not None and _is_close(right, given, tolerance)))
    except Exception:  # sympy may raise anything; equality was not shown
        return False


@lru_cache(maxsize=512)
def _read_cached(text: str) -> Any:
    return _read(text)


def _read(text: str) -> Any:
    """The text as one sympy object, or None."""
    try:
        found = math_verify.parse(f"${text}$", _CONFIG, fallback_mode="no_fallback", parsing_timeout=None)
        if len(found) != 1 or not isinstance(found[0], (sympy.Basic, sympy.MatrixBase)):
            return None
        value = found[0]
        if value in (sympy.oo, -sympy.oo) or value.has(sympy.nan, sympy.zoo) or _is_tautology(value):
            return None
        return value
    except Exception:  # it cannot be read
        return None


def _is_relation(value: Any) -> bool:
    return isinstance(value, sympy.core.relational.Relational)


def _is_tautology(value: Any) -> bool:
    """Whether the value is a truth value, or a relation whose two sides are equal."""
    if isinstance(value, sympy.logic.boolalg.BooleanAtom):
        return True
    return _is_relation(value) and (value.lhs - value.rhs).expand() == 0


def _has_solutions(relation: Any) -> bool:
    """Whether an equation has a solution (math-verify equates any two without); True for other relations."""
    if not isinstance(relation, sympy.Eq):
        return True
    return bool(relation.free_symbols and sympy.solve(relation, relation.free_symbols))


def _is_close(right: Any, given: Any, tolerance: float) -> bool:
    if isinstance(right, sympy.MatrixBase) and isinstance(given, sympy.MatrixBase):
        pairs = zip(right.flat(), given.flat(), strict=False)
        return right.shape == given.shape and all(_is_close(a, b, tolerance) for a, b in pairs)
    if isinstance(right, sympy.Tuple) and isinstance(given, sympy.Tuple):
        return len(right) == len(given) and all(
            _is_close(a, b, tolerance) for a, b in zip(right, given, strict=True)
        )
    if not isinstance(right, sympy.Expr) or not isinstance(given, sympy.Expr):
        return False
    if right.free_symbols or given.free_symbols:
        return False
    expected = complex(right.doit().evalf())
    return abs(complex(given.doit().evalf()) - expected) <= tolerance * abs(expected)
