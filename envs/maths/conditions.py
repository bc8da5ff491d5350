r"""Right answers that are inequalities left to solve, such as ``x^2 < 4``.

In: the right answer and an answer. Out: both as conditions on their letter, whose solutions the worker compares
(`envs.maths.worker`).

An answer must be worked out as far as the right answer. Against ``x < 1`` or ``(-2, 2)``, which are solved,
``-x > -1`` and ``x^2 < 4`` leave the work to the reader and are wrong, as ``8*3`` is for 24. If the right
answer itself is left to solve, every inequality with the same solutions is right, and so are the solutions. An
equation is different: one that is a right answer was asked for as an equation, and often from its roots, so
that its roots are no answer.
"""

from __future__ import annotations

from envs.maths.algebra import letters_of
from envs.maths.numerals import Tree
from envs.maths.values import Kind, MathAnswer, Span, as_region, number_tree


def conditions(gold: MathAnswer, answer: MathAnswer) -> tuple[Tree, Tree] | None:
    """Both as conditions on the letter of the right answer; None unless that is an inequality left to solve."""
    right = _inequalities(gold)
    if right is None or len(names := letters_of(right)) != 1:
        return None
    (name,) = names
    given = _inequalities(answer)
    if given is None and answer.name in ("", name) and (spans := as_region(answer)):
        given = _inside(spans, ("v", name))
    return None if given is None or letters_of(given) != names else (right, given)


def _inequalities(answer: MathAnswer) -> Tree | None:
    """An inequality between formulas with a letter, or a chain of two, ``1 < 2x + 1 < 5``."""
    if answer.kind is Kind.RELATION and answer.relation and answer.relation[1] != "=":
        return answer.relation
    if answer.kind is Kind.LIST and answer.relation and answer.relation[0] == "and":
        return answer.relation
    return None


def _inside(spans: tuple[Span, ...], letter: Tree) -> Tree | None:
    """The condition that a letter is in one of some intervals."""
    found: list[Tree] = []
    for span in spans:
        both: list[Tree] = []
        for end, is_open, is_low in ((span.low, span.low_open, True), (span.high, span.high_open, False)):
            if end.infinity:
                continue
            tree = number_tree(end) if end.kind is Kind.NUMBER else end.tree
            if tree is None:
                return None
            sign = "<" if is_open else "<="
            both.append(("rel", sign, tree, letter) if is_low else ("rel", sign, letter, tree))
        if not both:
            return None
        found.append(both[0] if len(both) == 1 else ("and", *both))
    return found[0] if len(found) == 1 else ("or", *found) if found else None
