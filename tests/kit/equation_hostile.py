"""Hostile text against `check_steps: equations`: run in a child, since the texts try to hang what reads them.

`python -m tests.kit.equation_hostile NUM` reads the collected answers, NUM mutations of them and of our own
solutions, and long repetitive texts. It prints as JSON how many there were, what failed, how much longer texts
ten times as long took, and the longest time of the worker's calls for one text.
"""

from __future__ import annotations

import json
import sys
import time
from random import Random

from envs import Problem, Split
from envs.equation_steps import EquationSteps
from envs.equation_steps.known import MAX_CALLS
from envs.maths.grader import MathGrader
from tests.kit.equation_figures import ours
from tests.kit.fuzz import mutate
from tests.kit.hostile import corpus
from tests.kit.judged_text import growth, judge

REPEATED = (
    "$", "$$", "$x = 4$ ", "$x=", "\\[", "\\[ x = 1 ", "\\begin{align*}", "\\begin{align*} x &= 1 \\\\ ", "= ",
    "x = ", "x = 1 ", "2x + 3 = 11. ", "x^2 = ", "(", "((x = ", "{", "\\frac{", "$\\frac{1}{x} = $ ", "\\text{",
    "\\text{ and } ", "\\pm = ", "$x = \\pm 1$ ", "a b c ", "a = b ", "a_1 = ", "9^9^9 = 1 ", "1/0 = 1 ",
    "\\\\ = ", "$9^{9^{9}} = 1$ ", "&", "x' = y' ", "$x + y = 1$, ", "sin x = ", "|", "|x| = 1 ", "1,000 = ",
    "$5 and $7 = 3 ",
)  # fmt: skip
HEAVY = (
    "$(x+1)^{12}(y+1)^{12}(z+1)^{12} = (a+b)^{12}$", "$x^{12} + x + 1 = 0$, $x^{11} + 3x = 7$, ",
    r"$\sqrt{\sqrt{\sqrt{x}}} = \sin(\cos(\tan(x)))$", r"$e^{e^{e^{x}}} = \binom{1000}{x}$", "$9999! = x!$",
    "$2^{9999} = x^{9999}$",
)  # fmt: skip


def check(text: str, checker: EquationSteps, problem: Problem) -> tuple[float, float]:
    """CPU seconds of reading and judging a text, and seconds of waiting for its judgement."""
    start, at = time.process_time(), time.perf_counter()
    known = judge(text, checker, problem)
    assert 0 <= known.calls <= MAX_CALLS
    return time.process_time() - start, time.perf_counter() - at


def main(num: int) -> None:
    """Read all texts and print what happened."""
    checker, rng = EquationSteps(MathGrader(timeout_s=1.0)), Random(0)
    problem = Problem(
        env="math", split=Split.TRAIN, index=0, question="Tom has 3 apples and 4 pears.", prompt="", answer="7",
        num_full_steps=1, difficulty=1,
    )  # fmt: skip
    texts = [*(solved.solution for solved in ours()), *HEAVY, *(entry["text"] for entry in corpus())]
    texts += [mutate(rng.choice(texts), texts, rng) for _ in range(num)]
    failures: list[str] = []
    longest = 0.0
    for text in [*texts, *(part * 40 for part in HEAVY)]:
        try:
            longest = max(longest, check(text, checker, problem)[1])
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}: {text[:100]!r}")
    grown = [growth(part, lambda text: check(text, checker, problem)[0], at_least_s=0.02) for part in REPEATED]
    most, slowest = (max(figures) for figures in zip(*grown, strict=True))
    found = {
        "texts": len(texts),
        "failures": failures,
        "growth": most,
        "slowest_s": slowest,
        "longest_s": longest,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
