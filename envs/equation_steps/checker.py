r"""Checked steps in mathematical solutions: every equation of a text is a step.

In: a problem and the text of a completion. Out: one `Step` per equation, and a verdict on each:

- *valid*: its sides are equal, for numbers or for all values of its letters; or it follows from earlier
  equations of the text; or it states a solution of one;
- *wrong arithmetic*: two sides without letters, or with letters whose values are known, are different;
- *does not follow*: it is about the letter of the equation before, and no solution of that is one of it;
- *too much merged*: a side without letters has more operations than `max_merge`;
- otherwise unchecked: it sets something up, or cannot be decided.

A text is finished if valid steps state every part of the right answer, from a number of the question or an
earlier result. This proves equations, not the idea: what an equation sets up is taken as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from envs.arithmetic_steps import MERGED, WRONG, find_equations, place_steps
from envs.arithmetic_steps.claims import holds
from envs.arithmetic_steps.operands import numbers
from envs.equation_steps.chains import Chain, num_operations, read_chains
from envs.equation_steps.find import find_places
from envs.equation_steps.known import Claim, Judge, Known
from envs.maths.algebra import has_letters
from envs.maths.grader import MathGrader, read_answer
from envs.maths.numerals import Tree
from envs.maths.values import Kind, MathAnswer, number_tree
from envs.path import StepError, UncheckedStep
from envs.problem import Problem
from envs.trace import Step, StepKind

UNRELATED = "does not follow"
NOTHING = "nothing that can be checked"


class EquationSteps:
    """Finds and judges the equations of completions.

    Args:
        grader: The grader whose worker compares formulas.
        max_merge: Most operations of a side without letters.
    """

    def __init__(self, grader: MathGrader, max_merge: int = 2) -> None:
        self._grader = grader
        self.max_merge = max_merge

    def read_steps(self, text: str, others: Sequence[Step] = ()) -> tuple[Step, ...]:
        """One step per equation, in order, among steps of other kinds, such as backtracks."""
        found = [
            Step(text[start:end], StepKind.FORWARD, (start, end))
            for start, end in find_places(text)
            if _claims(text[start:end])
        ]
        return place_steps(text, found, others)

    def start(self, problem: Problem) -> Known:
        """What is known before the first equation."""
        answer = read_answer(problem.answer)
        return Known(numbers=numbers(problem.question), parts=() if answer is None else _parts(answer))

    def advance(self, known: Known, text: str) -> Known:
        """Judge one equation.

        Raises:
            UncheckedStep: It claims nothing that can be checked.
            StepError: It is not valid; `after` has the state with what it claims.
            GraderError: The grader's process failed.
        """
        judge = Judge(self._grader, known)
        chains = read_chains(text)
        found = [_judge(judge, chain) for chain in chains]
        faults = [fault for claim, fault in found if claim is Claim.FAILS]
        holds_all = bool(found) and all(claim is Claim.HOLDS for claim, _ in found)
        plain = None if holds_all else _in_words(text)
        if plain is False and not chains:
            faults = [WRONG]
        if faults and not plain:
            raise StepError(faults[0], after=judge.known)
        if not holds_all and not plain:
            raise UncheckedStep(NOTHING, after=judge.known)
        judge.state(_results(chains, text, judge))
        if any(num_operations(side) > self.max_merge for chain in chains for side in chain.sides if side):
            raise StepError(MERGED, after=judge.known)
        return judge.known

    def finished(self, known: Known) -> bool:
        """Whether valid steps have stated the right answer."""
        return Judge(self._grader, known).is_answer()


def _judge(judge: Judge, chain: Chain) -> tuple[Claim, str]:
    """The judgement of a chain, and what is wrong with it.

    It fails if an equation in it does, and holds if all do from one of them on. Those before may give names
    and values, as in ``A = ab = 3 * 4 = 12``.
    """
    claims = []
    fault = ""
    for at, (left, right, about) in enumerate(chain.pairs):
        may_set = at == 0 and (left[0] == "v" or len(chain.pairs) == 1)
        claim = judge.claim(left, right, about, may_set=may_set)
        claims.append(claim)
        has_names = has_letters(left) or has_letters(right)
        if claim is Claim.FAILS:
            fault = fault or (UNRELATED if has_names else WRONG)
        if has_names:
            judge.note(left, right, claim)
    first, final = chain.sides[0], chain.sides[-1]
    if first and first[0] == "v" and final and len(chain.sides) > 2:
        value = judge.substituted(final)
        if not has_letters(value):
            judge.define(first[1], value)
    if fault:
        return Claim.FAILS, fault
    held = claims.index(Claim.HOLDS) if Claim.HOLDS in claims else 0
    return (Claim.OPEN if Claim.OPEN in claims[held:] else Claim.HOLDS), ""


def _in_words(text: str) -> bool | None:
    """Whether a text is an equation of arithmetic in ordinary words and holds; None if it is none."""
    equations = find_equations(text)
    return holds(equations[0]) if [equation.span for equation in equations] == [(0, len(text))] else None


def _results(chains: Sequence[Chain], text: str, judge: Judge) -> list[Tree]:
    """What a valid step states, if it rests on the question or on an earlier result."""
    found: list[Tree] = []
    for chain in chains:
        final = [side for side in chain.sides if side][-1]
        if any(judge.rests(side) for side in chain.sides if side):
            found += [final, judge.substituted(final)]
    for equation in () if chains else find_equations(text):
        if any(judge.knows(side.operands) for side in equation.sides if side.num_operations):
            found.append(("n", *equation.sides[-1].value.as_integer_ratio()))
    return found


def _claims(text: str) -> bool:
    return bool(read_chains(text)) or bool(find_equations(text))


def _parts(answer: MathAnswer) -> tuple[Tree, ...]:
    """The formulas that make up an answer; empty if a part of it is none."""
    if answer.kind is Kind.NUMBER and not answer.infinity:
        return (number_tree(replace(answer, is_percent=False)),)
    if answer.kind is Kind.FORMULA and answer.tree is not None:
        return (answer.tree,)
    if answer.kind in (Kind.LIST, Kind.SET, Kind.TUPLE, Kind.MATRIX):
        found = [_parts(item) for item in answer.items]
        return tuple(tree for parts in found for tree in parts) if all(found) else ()
    if answer.kind is Kind.REGION:
        ends = [end for span in answer.spans for end in (span.low, span.high) if not end.infinity]
        found = [_parts(end) for end in ends]
        return tuple(tree for parts in found for tree in parts) if all(found) else ()
    return ()
