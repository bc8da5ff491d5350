"""Hostile text against `check_steps: arithmetic`: run in a child, since the texts try to hang what reads them.

`python -m tests.kit.arithmetic_hostile NUM` reads the collected answers, NUM mutations of them and of
equations, and long repetitive texts. It prints as JSON how many there were, what failed, and how much longer
texts ten times as long took.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from random import Random

from envs import Problem, Split
from envs.arithmetic_steps import ArithmeticSteps
from tests.kit.fuzz import mutate
from tests.kit.hostile import corpus
from tests.kit.judged_text import growth, judge

EQUATIONS = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips.",
    r"$\frac{1}{2} \times (3 + 4) = 3\frac{1}{2}$, 20% of 50 is 10",
    "2 1/2 * 4 = 10 cups; 60 * 2 = 120 cents = $1.20",
    "1,000,000 + 3 million = 4000000 and 5 times six equals 30",
)
REPEATED = (
    "1", "1,234", "3+4=7 ", "(", "(3+", "[{", "3 is ", "3 = ", "3 + 4 = ", "3 + 4 is is ", "= ", "-", "- 3 ",
    "**", "3 ** ", "3^3^", "<<3+4=7>>", "x ", "3 x ", "1/2 of the ", "3% of the ", "$", "a ", "the 3 + the ",
    "3 (a b c) ", r"\frac{", r"\frac{1}{2}", "...", "3...", "3 000 ", "=\n", "2 and 1/2 ", "two times ", "½",
    "3k", "3 million ", "5'", "a.b.c ", "3:30 ", "<backtrack>\n3+4=7\n",
)  # fmt: skip


def check(text: str, checker: ArithmeticSteps, problem: Problem) -> float:
    """CPU seconds of reading and judging a text."""
    start = time.process_time()
    judge(text, checker, problem)
    return time.process_time() - start


def main(num: int) -> None:
    """Read all texts and print what happened."""
    checker, rng = ArithmeticSteps(), Random(0)
    problem = Problem(
        env="math", split=Split.TRAIN, index=0, question="Tom has 3 apples and 4 pears.", prompt="", answer="7",
        num_full_steps=1, difficulty=1,
    )  # fmt: skip
    texts = [*EQUATIONS, *(entry["text"] for entry in corpus())]
    texts += [mutate(rng.choice(texts), texts, rng) for _ in range(num)]
    failures = []
    for text in texts:
        try:
            check(text, checker, problem)
            checker.start(replace(problem, question=text))
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}: {text[:100]!r}")
    grown = [growth(part, lambda text: check(text, checker, problem), at_least_s=0.005) for part in REPEATED]
    most, slowest = (max(figures) for figures in zip(*grown, strict=True))
    print(json.dumps({"texts": len(texts), "failures": failures, "growth": most, "slowest_s": slowest}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
