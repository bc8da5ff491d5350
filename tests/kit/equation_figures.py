"""How far `check_steps: equations` carries, on solutions of our own in the manner of MATH, and on GSM8K.

`python -m tests.kit.equation_figures [DIR]` prints the tables of docs/equation_steps.md. DIR has the files of
GSM8K, as for `tests.kit.arithmetic_figures`; without it, only `tests/data/equation_solutions.jsonl` is judged.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from envs import Problem, Split, Step, StepError, Verdict
from envs.equation_steps import EquationSteps
from envs.maths.grader import MathGrader
from envs.path import UncheckedStep
from tests.kit.arithmetic_figures import Solved, gsm8k, rows, share

OURS = Path(__file__).parents[1] / "data" / "equation_solutions.jsonl"
_NUMBER = re.compile(r"(?<![0-9.])[0-9]+(?![0-9.])")


class Judged(NamedTuple):
    """What the checker says of a solution."""

    steps: list[Step]
    finished: bool

    def count(self, verdict: Verdict) -> int:
        """Number of steps with a verdict."""
        return sum(step.verdict is verdict for step in self.steps)

    @property
    def verified(self) -> bool:
        """Whether no step is invalid and the answer is reached, whatever is merged."""
        return self.finished and not any(step.reason for step in self.steps)


def ours() -> list[Solved]:
    """Our own solutions."""
    return [Solved(row["question"], row["solution"], row["answer"]) for row in rows(OURS)]


def judge(solved: Solved, checker: EquationSteps) -> Judged:
    """Check one solution step by step, as `Env.check` does."""
    problem = Problem(
        env="math", split=Split.TRAIN, index=0, question=solved.question, prompt="", answer=solved.answer,
        num_full_steps=1, difficulty=0,
    )  # fmt: skip
    known = checker.start(problem)
    steps = []
    for step in checker.read_steps(solved.solution):
        try:
            known = checker.advance(known, step.text)
            steps.append(step._replace(verdict=Verdict.VALID))
        except UncheckedStep as error:
            known = error.after  # type: ignore[assignment]
            steps.append(step)
        except StepError as error:
            known = error.after  # type: ignore[assignment]
            steps.append(step._replace(verdict=Verdict.INVALID, reason=str(error)))
    return Judged(steps, checker.finished(known))


def describe(name: str, solutions: Sequence[Solved], checker: EquationSteps) -> str:
    """A line of the first table."""
    start = time.process_time()
    judged = [judge(solved, checker) for solved in solutions]
    each = (time.process_time() - start) / max(1, len(solutions))
    num_steps = sum(len(one.steps) for one in judged)
    num = len(solutions)
    figures = [
        f"{num:,}",
        f"{num_steps / max(1, num):.1f}",
        share(sum(one.count(Verdict.VALID) for one in judged), num_steps),
        share(sum(one.count(Verdict.UNCHECKED) for one in judged), num_steps),
        share(sum(bool(one.count(Verdict.INVALID)) for one in judged), num),
        share(sum(one.finished for one in judged), num),
        share(sum(one.verified for one in judged), num),
        f"{1e3 * each:.1f} ms",
    ]
    return f"| {name} | {' | '.join(figures)} |"


def corruptions(solutions: Sequence[Solved], checker: EquationSteps) -> Iterator[str]:
    """How many solutions are caught in which one number of a valid step was changed."""
    rng = Random(0)
    caught = Counter[str]()
    for solved in solutions:
        judged = judge(solved, checker)
        if not judged.verified:
            continue
        for step in judged.steps:
            places = list(_NUMBER.finditer(step.text)) if step.verdict is Verdict.VALID else []
            for kind, place in (("last number", places[-1:]), ("any other number", places[:-1])):
                if not place:
                    continue
                match = rng.choice(place)
                changed = str(int(match[0]) + rng.choice((1, 2, 3, 10)))
                text = step.text[: match.start()] + changed + step.text[match.end() :]
                start, end = step.span
                other = judge(
                    solved._replace(solution=solved.solution[:start] + text + solved.solution[end:]), checker
                )
                caught[kind, "made"] += 1  # type: ignore[index]
                caught[kind, "step"] += any(one.verdict is Verdict.INVALID for one in other.steps)  # type: ignore[index]
                caught[kind, "all"] += not other.verified  # type: ignore[index]
    for kind in ("last number", "any other number"):
        made, step, in_all = (caught[kind, what] for what in ("made", "step", "all"))  # type: ignore[index]
        yield f"| {kind} | {made:,} | {share(step, made)} | {share(in_all, made)} |"


def main(folder: Path | None) -> None:
    """Print the tables."""
    checker = EquationSteps(MathGrader(), max_merge=1000)
    print(
        "| solutions | number | equations each | valid | unchecked | solutions with an invalid one "
        "| answer is a valid result | verified | CPU each, without the worker |"
    )
    print("|---" * 9 + "|")
    print(describe("our own, in the manner of MATH", ours(), checker))
    if folder is not None:
        test = gsm8k(folder / "gsm8k" / "test.jsonl")
        print(describe("GSM8K test", test, checker))
        answers = {solved.question: solved.answer for solved in test}
        for kind in (True, False):
            written = [
                Solved(row["question"], value["solution"].rpartition("\nA: ")[0], answers[row["question"]])
                for row in rows(folder / "gsm8k" / "example_model_solutions.jsonl")
                for value in row.values()
                if isinstance(value, dict) and value["is_correct"] is kind and row["question"] in answers
            ]
            print(describe(f"four models, {'right' if kind else 'wrong'} answers", written, checker))
    print("\n| change to a verified solution of our own | number | caught by a step | not verified |")
    print("|---" * 4 + "|")
    for line in corruptions(ours(), checker):
        print(line)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
