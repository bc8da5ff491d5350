"""What of math-verify runs on behalf of the answer grader, in a worker process that may be killed at any time.

In: clean LaTeX from `envs.maths.grammar.to_latex`. Out: JSON values. `envs.sandbox` loads this file by its
path; nothing else of the trainer imports it, and it imports nothing of the trainer. The limits on time and
memory are the sandbox's: math-verify's own use signals and are off. A sympy object is never printed or logged,
because printing one can take for ever.

Stricter than math-verify: one expression only, nothing taken out of prose, no equation that holds for every
value, no two equations that are equal only in having no solution, no nan and no complex infinity.
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
    """Import and exercise everything once, before any worker is forked."""
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
    """Whether math-verify reads the right answer as one expression."""
    return _read_cached(gold) is not None


def verify(gold: str, answer: str, tolerance: float | None = None) -> bool | None:
    """Whether an answer equals the right one, or None where it cannot be read.

    Args:
        gold: LaTeX of the right answer; read once and kept.
        answer: LaTeX of the answer.
        tolerance: Largest relative difference of two numbers; None asks for equality.
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
    except Exception:  # whatever sympy raises, the two were not shown to be equal
        return False


@lru_cache(maxsize=512)
def _read_cached(text: str) -> Any:
    return _read(text)


def _read(text: str) -> Any:
    """One sympy object, or None."""
    try:
        found = math_verify.parse(f"${text}$", _CONFIG, fallback_mode="no_fallback", parsing_timeout=None)
        if len(found) != 1 or not isinstance(found[0], (sympy.Basic, sympy.MatrixBase)):
            return None
        value = found[0]
        if value in (sympy.oo, -sympy.oo) or value.has(sympy.nan, sympy.zoo) or _is_tautology(value):
            return None
        return value
    except Exception:  # nothing that can be read
        return None


def _is_relation(value: Any) -> bool:
    return isinstance(value, sympy.core.relational.Relational)


def _is_tautology(value: Any) -> bool:
    """Whether it is a truth value, or a relation whose two sides are the same."""
    if isinstance(value, sympy.logic.boolalg.BooleanAtom):
        return True
    return _is_relation(value) and (value.lhs - value.rhs).expand() == 0


def _has_solutions(relation: Any) -> bool:
    """Whether an equation has a solution; two without are equal to math-verify. Other relations pass."""
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
