r"""Verdicts on equations with and without letters; what earns where they are checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs import Problem, Split, StepError, Trace, Verdict, make_env
from envs.equation_steps import EquationSteps, find_places
from envs.equation_steps.chains import read_chains
from envs.equation_steps.polynomials import difference, remainder
from envs.maths.algebra import read_tree
from envs.maths.grader import MathGrader
from envs.maths.grammar import tokenize
from envs.path import UncheckedStep
from rewards import RewardSum, Term
from tests.kit.equation_figures import judge, ours

VALID, UNCHECKED, WRONG, UNRELATED, MERGED = (
    "valid", "unchecked", "wrong arithmetic", "does not follow", "too much merged",
)  # fmt: skip


@pytest.fixture(scope="module")
def checker() -> EquationSteps:
    return EquationSteps(MathGrader(), max_merge=2)


def problem(question: str, answer: str) -> Problem:
    return Problem(
        env="math", split=Split.TRAIN, index=0, question=question, prompt="", answer=answer, num_full_steps=1,
        difficulty=0,
    )  # fmt: skip


def verdicts(checker: EquationSteps, text: str) -> list[str]:
    known = checker.start(problem("Solve it.", "4"))
    found = []
    for step in checker.read_steps(text):
        try:
            known = checker.advance(known, step.text)
            found.append(VALID)
        except UncheckedStep as error:
            known = error.after  # type: ignore[assignment]
            found.append(UNCHECKED)
        except StepError as error:
            known = error.after  # type: ignore[assignment]
            found.append(str(error))
    return found


# ---- what is an equation ----

FOUND = {
    r"We have $2x + 3 = 11$, so $x = 4$.": ["2x + 3 = 11", "x = 4"],
    r"\[ a = 1, \quad b = 2 \]": ["a = 1", "b = 2"],
    r"\begin{align*} x &= 1 + 2 \\ &= 3 \\ y &= 4 \end{align*}": [r"x &= 1 + 2 \\ &= 3", "y &= 4"],
    r"$x = 2$ or $x = 3$": ["x = 2", "x = 3"],
    r"\(x = 2 \text{ or } x = 3\)": ["x = 2", "x = 3"],
    r"$2x = 8 \implies x = 4$": ["2x = 8", "x = 4"],
    r"$f(1,000) = 1,000 + 1$": ["f(1,000) = 1,000 + 1"],
    r"$\text{Area} = 3 \cdot 4 = 12 \text{ cm}^2$": [r"\text{Area} = 3 \cdot 4 = 12 \text{ cm}^2"],
    "Natalia sold 48/2 = 24 clips. Then 2x + 1 = 9, and x = 4.": ["48/2 = 24", "2x + 1 = 9", "x = 4"],
    "It costs $5 and he paid $12 - $7 = $5.": ["$12 - $7 = $5"],
    "20% of 50 is 10": ["20% of 50 is 10"],
    "The 3 apples cost 2 dollars.": [],
    r"$x < 3$ and $\{1, 2\}$": [],
    "a = b": ["a = b"],
    "$5 = 5$": [],
    r"\[": [],
    "$x = $": [],
}


@pytest.mark.parametrize("text", FOUND)
def test_equations_are_found(text: str, checker: EquationSteps) -> None:
    assert [step.text for step in checker.read_steps(text)] == FOUND[text]


def test_an_equation_reads_alone_as_in_its_text() -> None:
    for solved in ours():
        for start, end in find_places(solved.solution):
            piece = solved.solution[start:end]
            if read_chains(piece):
                assert find_places(f"${piece}$") == [(1, 1 + len(piece))], piece


def test_both_signs_are_two_chains() -> None:
    plus, minus = read_chains(r"x = \frac{-2 \pm 8}{2}")
    assert plus.sides[1] == read_tree(tokenize(r"\frac{-2+8}{2}"))
    assert minus.sides[1] == read_tree(tokenize(r"\frac{-2-8}{2}"))


# ---- verdicts ----

VERDICTS = [
    # closed
    (r"$3 + 4 = 7$", [VALID]),
    (r"$3 + 4 = 8$", [WRONG]),
    (r"$\sqrt{50} = 5\sqrt{2}$", [VALID]),
    (r"$\sqrt{50} = 5\sqrt{3}$", [WRONG]),
    (r"$\cos 61^\circ = \frac12$", [WRONG]),  # no decimal, so it is not rounded
    (r"$(\frac23)^{-3} = (\frac32)^2 = \frac94$", [WRONG]),
    (r"$\frac{10}{3} = 3.33$, $\frac{10}{3} \approx 3$, $\sqrt{2} \approx 1.414$", [VALID] * 3),
    (r"$\frac{10}{3} = 3$, $\frac{10}{3} = 3.43$, $\sqrt{2} \approx 1.42$", [WRONG] * 3),
    (r"$2 \cdot 3 = 6 = 7$", [WRONG]),
    (r"$1 + 2 + 3 + 4 = 10$", [MERGED]),
    (r"$\sin 30^\circ = \frac12$ and $e^{i\pi} = -1$", [VALID, VALID]),
    # identities
    (r"$(x+1)^2 = x^2 + 2x + 1$", [VALID]),
    (r"$(x+1)^2 = x^2 + 2x + 1 = x^2 + 3x + 1$", [UNCHECKED]),  # may hold for some x
    (r"$x^2 - 1 = (x-1)(x+1)$, $x = 7$", [VALID, UNCHECKED]),  # what always holds says nothing of x
    (r"$|x - 3| = 5$, $x - 3 = 5$ or $x - 3 = -5$, $x = 8$ or $x = -2$", [UNCHECKED] * 3 + [VALID] * 2),
    (r"$\frac{x^2-1}{x-1} = x + 1$", [VALID]),
    (r"$\sin^2 t + \cos^2 t = 1$", [VALID]),
    # conditions: what is set up claims nothing, what follows is checked
    (r"$2x + 3 = 11$, $2x = 8$, $x = 4$", [UNCHECKED, VALID, VALID]),
    (r"$2x + 3 = 11$, $2x = 9$", [UNCHECKED, UNRELATED]),
    (r"$2x + 3 = 11$, $x = 5$", [UNCHECKED, UNRELATED]),
    (r"$x^2 - 5x + 6 = 0$, $(x-2)(x-3) = 0$, $x = 2$ or $x = 3$", [UNCHECKED, VALID, VALID, VALID]),
    (r"$x^2 - 5x + 6 = 0$, $(x-2)(x-4) = 0$", [UNCHECKED, UNCHECKED]),  # they share 2: not known to be wrong
    (r"$x^2 - 5x + 6 = 0$, $x = 6$", [UNCHECKED, UNRELATED]),
    (r"$x^2 = 2$, $x = \sqrt{2}$", [UNCHECKED, VALID]),
    (r"$x^2 = 2$, $x = \sqrt{3}$", [UNCHECKED, UNRELATED]),
    (r"$x^2 + 1 = 0$, $x = \pm i$", [UNCHECKED, VALID]),
    (r"$x^2 = 3x - 2$, $x = 3 \pm 1$", [UNCHECKED, UNRELATED]),  # 2 and 4
    (r"$2^x = 32$, $x = 5$", [UNCHECKED, VALID]),
    (r"$2^x = 32$, $x = 4$", [UNCHECKED, UNRELATED]),
    (r"$x^3 = 8$, $x - 2 = 0$", [UNCHECKED, VALID]),  # the only real root
    (r"$x + y = 10$, $x - y = 2$, $2x = 12$, $x = 6$, $y = 4$", [UNCHECKED, UNCHECKED, VALID, VALID, VALID]),
    (r"$x + y = 10$, $x - y = 2$, $2x = 13$", [UNCHECKED, UNCHECKED, UNRELATED]),
    (r"$(n-1) + n + (n+1) = 72$, $3n = 73$", [UNCHECKED, UNRELATED]),
    (r"$x + y = 1$, $x + y = 2$, $x = 7$", [UNCHECKED] * 3),  # a contradiction proves nothing
    # values
    (r"$r = 3$, $A = \pi r^2 = 9\pi$", [UNCHECKED, VALID]),
    (r"$V = abc = 3 \cdot 4 \cdot 5 = 60$, $V = abc = 3 \cdot 4 \cdot 5 = 61$", [VALID, WRONG]),
    (r"$r = 3$, $A = \pi r^2 = 6\pi$", [UNCHECKED, UNRELATED]),
    (r"$n = 24$, $n + 1 = 24 + 1 = 25$, $n + 2 = 24 + 1 = 25$", [UNCHECKED, VALID, UNRELATED]),
    (r"$x = 4$. $2x = 8$. $x^2 = 4^2 = 16$", [UNCHECKED, VALID, VALID]),
    (r"$x = 4$. Now let $3x = 15$, so $x = 5$", [UNCHECKED, UNCHECKED, VALID]),  # another x
    (r"Case 1: $x = 2$. Case 2: $x = 3$.", [UNCHECKED, UNCHECKED]),
    (r"$x - 3 = 0$ and $x + 5 = 0$", [UNCHECKED, UNCHECKED]),  # where denominators vanish
    # not decided
    (r"$a_n = 2n$, $a \equiv 3 \pmod 5$, $|S| = 7$", [UNCHECKED, UNCHECKED]),
    ("20% of 50 is 10", [VALID]),
    ("20% of 50 is 11", [WRONG]),
]


@pytest.mark.parametrize(("text", "expected"), VERDICTS, ids=[text for text, _ in VERDICTS])
def test_each_equation_has_its_verdict(checker: EquationSteps, text: str, expected: list[str]) -> None:
    assert verdicts(checker, text) == expected


def test_a_span_is_exact_and_empty_where_its_equations_contradict_each_other() -> None:
    def minus(left: str, right: str) -> Any:
        return difference(*(read_tree(tokenize(side)) for side in (left, right)))  # type: ignore[arg-type]

    system = [minus("x + y", "10"), minus("x - y", "2")]
    assert remainder(minus("3x + y", "22"), system) == {}  # 2 (x + y) + (x - y) = 22
    assert remainder(minus("3x + y", "23"), system) == {(): -1}
    assert remainder(minus("x", "6"), [*system, minus("x + y", "11")]) is None
    assert remainder(minus("x + z", "6"), system) not in ({}, None)
    assert minus(r"\frac{1}{x} + \frac{1}{y}", r"\frac{x+y}{xy}") == {}
    assert minus("x^{99}", "x") is None


def test_solutions_of_our_own_are_not_accused(checker: EquationSteps) -> None:
    for solved in ours():
        judged = judge(solved, checker)
        assert {step.reason for step in judged.steps} <= {"", MERGED}, solved.question


# ---- through the task ----


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("rows")
    train, held_out = folder / "train.jsonl", folder / "id.jsonl"
    given = [
        {"question": solved.question, "answer": solved.answer, "solution": solved.solution} for solved in ours()
    ]
    train.write_text("\n".join(map(json.dumps, given[:3])))
    held_out.write_text(json.dumps(given[3]))
    settings = {"train": str(train), "id": str(held_out), "check_steps": "equations", "on_bad_rows": "skip"}
    return make_env("math", settings)


def check(env: Any, text: str, answer: str = "4") -> Trace:
    problems = [env.problem(Split.TRAIN, index) for index in range(3)]
    linear = next(problem for problem in problems if problem.answer == "4" and "2x" in problem.question)
    trace: Trace = env.check(linear, env.parse(f"{text}\n\nThus, the answer is {answer}."))
    return trace


def test_a_derived_answer_is_verified_and_an_asserted_one_is_not(env: Any) -> None:
    derived = check(env, "$2x + 3 = 11$, so $2x = 8$ and $x = 4$.")
    assert derived.verified
    assert [step.verdict for step in derived.steps] == [Verdict.UNCHECKED, Verdict.VALID, Verdict.VALID]
    for text in (
        "",
        "$x = 4$",  # sets x, and claims nothing
        "$4 = 4$",
        "$2x + 3 = 11$",
        "$2x + 3 = 11$, $2x = 8$",
        "$2x + 3 = 11$, $2x = 9$, $x = 4$",  # an invalid step on the way
        "$1 \\cdot 4 = 5$, $x = 4$",
        "$7 - 5 = 2$",
        "$17 - 13 = 4$",  # from nowhere
        "$x = 17 - 13 = 4$",
        "$x + 13 = 17$, $x = 4$",
    ):
        trace = check(env, text)
        assert trace.correct and not trace.verified, text


def test_answers_of_several_parts_need_each_part(checker: EquationSteps) -> None:
    def finished(answer: str, text: str) -> bool:
        known = checker.start(problem("Solve $x^2 = 5x - 6$.", answer))
        for step in checker.read_steps(text):
            try:
                known = checker.advance(known, step.text)
            except UncheckedStep as error:
                known = error.after  # type: ignore[assignment]
        return checker.finished(known)

    both = "$x^2 = 5x - 6$, $(x-2)(x-3) = 0$, $x = 2$ or $x = 3$"
    assert finished("2, 3", both)
    assert finished(r"\{3, 2\}", both)
    assert not finished("2, 4", both)
    assert not finished("2, 3", both.replace(" or $x = 3$", ""))
    assert not finished("even", both)  # a word is no result


def test_reward_is_for_valid_steps(env: Any) -> None:
    rewards = RewardSum(
        [Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.5, gate="correct")]
    )
    linear = next(p for p in (env.problem(Split.TRAIN, index) for index in range(3)) if "2x" in p.question)

    def earns(text: str) -> float:
        return rewards(linear, [check(env, text)])[0].total

    full = earns("$2x + 3 = 11$\n\n$2x = 8$\n\n$x = 4$")
    assert earns("$2x + 3 = 11$, $2x = 8$, $x = 4$") == full  # layout is worth nothing
    assert earns("$2x + 3 = 11$, $x = 4$") > full  # a step is saved
    for text in ("", "$x = 4$", "$2x + 3 = 11$, $2x = 9$, $x = 4$"):
        assert earns(text) <= full, text
