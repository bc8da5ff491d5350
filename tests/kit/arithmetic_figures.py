"""How far `check_steps: arithmetic` carries on GSM8K, SVAMP and solutions that models wrote.

`python -m tests.kit.arithmetic_figures DIR` prints the tables of docs/arithmetic_steps.md. DIR has the files
`gsm8k/train.jsonl`, `gsm8k/test.jsonl`, `gsm8k/example_model_solutions.jsonl` of openai/grade-school-math, and
`svamp/train.jsonl`, `svamp/test.jsonl` of arkilpatel/SVAMP.

The reader was tuned on 5,500 of the train solutions, drawn with seed 0.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from envs import Problem, Split, Step, StepError
from envs.arithmetic_steps import ArithmeticSteps, Equation, find_equations
from envs.arithmetic_steps.checker import MERGED, UNKNOWN, WRONG
from envs.path import UncheckedStep

NUM_TUNED = 5500
_NOTE = re.compile(r"<<[^<>\n]*>>")
_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+")
_PLAIN = re.compile(r"([0-9.]+) ?([-+*/]) ?([0-9.]+) ?= ?([0-9.]+)")
_OTHER = {"+": "-", "-": "+", "*": "+", "/": "*"}


class Solved(NamedTuple):
    """A question, a solution and the right answer."""

    question: str
    solution: str
    answer: str


class Judged(NamedTuple):
    """What the checker says of a solution."""

    steps: list[Step]
    faults: list[str]
    finished: bool
    equations: list[Equation]

    def verified(self, *, merged: bool = True) -> bool:
        """Whether every step is valid and the end is reached; `merged`: whatever one step merges."""
        faults = [fault for fault in self.faults if fault and not (merged and fault == MERGED)]
        return self.finished and not faults


def judge(solved: Solved, checker: ArithmeticSteps) -> Judged:
    """Check one solution step by step, as `Env.check` does."""
    problem = Problem(
        env="math",
        split=Split.TRAIN,
        index=0,
        question=solved.question,
        prompt=solved.question,
        answer=solved.answer,
        num_full_steps=1,
        difficulty=0,
    )
    known = checker.start(problem)
    faults = []
    steps = []
    for step in checker.read_steps(solved.solution):
        try:
            known = checker.advance(known, step.text)
            faults.append("")
            steps.append(step)
        except UncheckedStep as error:
            known = error.after
        except StepError as error:
            steps.append(step)
            known = error.after
            faults.append(str(error))
    return Judged(steps, faults, checker.finished(known), find_equations(solved.solution))


def share(num: int, of: int) -> str:
    """A share in per cent."""
    return f"{100 * num / of:.1f} %" if of else "-"


def rows(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gsm8k(path: Path) -> list[Solved]:
    """The problems of a file of GSM8K, without calculator notes."""
    found = []
    for row in rows(path):
        solution, _, answer = row["answer"].rpartition("\n#### ")
        found.append(Solved(row["question"], _NOTE.sub("", solution), answer))
    return found


def describe(name: str, solutions: Sequence[Solved], checker: ArithmeticSteps) -> str:
    """A line of the first table."""
    start = time.process_time()
    judged = [judge(solved, checker) for solved in solutions]
    each = (time.process_time() - start) / max(1, len(solutions))
    lines, covered, with_sign, covered_sign = 0, 0, 0, 0
    for solved, one in zip(solutions, judged, strict=True):
        starts = [step.span[0] for step in one.steps]
        at = 0
        for line in solved.solution.split("\n"):
            has_step = any(at <= start <= at + len(line) for start in starts)
            at += len(line) + 1
            lines, covered = lines + 1, covered + has_step
            with_sign, covered_sign = with_sign + ("=" in line), covered_sign + (has_step and "=" in line)
    num = len(solutions)
    figures = [
        f"{num:,}",
        share(covered, lines),
        share(covered_sign, with_sign),
        share(sum(WRONG in one.faults for one in judged), num),
        share(sum(UNKNOWN in one.faults for one in judged), num),
        share(sum(MERGED in one.faults for one in judged), num),
        share(sum(one.finished for one in judged), num),
        share(sum(one.verified() for one in judged), num),
        share(sum(one.verified(merged=False) for one in judged), num),
        f"{1e3 * each:.2f} ms",
    ]
    return f"| {name} | {' | '.join(figures)} |"


# ---- corrupted solutions ----


def corrupt(solved: Solved, kind: str, rng: Random) -> Solved | None:
    """The solution with one equation changed, and the later ones computed again where the kind asks for it."""
    places = [match for match in _PLAIN.finditer(solved.solution) if _holds(match)]
    if not places:
        return None
    place = rng.choice(places)
    left, operator, right, result = place.groups()
    delta = rng.choice([-3, -2, -1, 1, 2, 3, 10])
    if kind == "changed result":
        return _splice(solved, place, f"{left} {operator} {right} = {_changed(result, delta)}")
    changed = _changed(left, delta)
    if kind == "changed operand":
        return _splice(solved, place, f"{changed} {operator} {right} = {result}")
    if kind == "operand changed, all recomputed":
        new = _value(changed, operator, right)
        text = None if new is None else f"{changed} {operator} {right} = {new}"
    else:
        new = _value(left, _OTHER[operator], right)
        text = None if new is None else f"{left} {_OTHER[operator]} {right} = {new}"
    if new is None or text is None or Fraction(new) == Fraction(result):
        return None
    before, after = solved.solution[: place.start()], solved.solution[place.end() :]
    return solved._replace(solution=before + text + _recompute(after, {Fraction(result): new}))


def _recompute(text: str, renamed: dict[Fraction, str]) -> str:
    """A text in which changed results are used, and all simple equations are computed again."""

    def again(match: re.Match[str]) -> str:
        left, operator, right, result = match.groups()
        left, right = (renamed.get(Fraction(number), number) for number in (left, right))
        new = _value(left, operator, right)
        if new is None:
            return match[0]
        if Fraction(new) != Fraction(result):
            renamed[Fraction(result)] = new
        return f"{left} {operator} {right} = {new}"

    return _PLAIN.sub(again, text)


def _holds(match: re.Match[str]) -> bool:
    try:
        value = _value(match[1], match[2], match[3])
        return value is not None and Fraction(value) == Fraction(match[4])
    except ValueError:
        return False


def _value(left: str, operator: str, right: str) -> str | None:
    """The result, if it is not negative and has at most two decimals."""
    a, b = Fraction(left), Fraction(right)
    if operator == "/" and not b:
        return None
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or 1)}[operator]
    if value < 0 or (100 * value).denominator != 1:
        return None
    return str(value) if value.denominator == 1 else f"{float(value):.2f}"


def _changed(number: str, delta: int) -> str:
    value = Fraction(number)
    new = value + delta if value + delta > 0 else value + abs(delta)
    return str(new) if new.denominator == 1 else f"{float(new):.4f}".rstrip("0")


def _splice(solved: Solved, place: re.Match[str], text: str) -> Solved:
    solution = solved.solution
    return solved._replace(solution=solution[: place.start()] + text + solution[place.end() :])


KINDS = (
    "changed result",
    "changed operand",
    "operand changed, all recomputed",
    "wrong operation, computed right",
)


def corruptions(solutions: Iterable[Solved], checker: ArithmeticSteps) -> Iterator[str]:
    """The lines of the table of corrupted solutions, from those that are verified as they are."""
    sound = [solved for solved in solutions if judge(solved, checker).verified()]
    for kind in KINDS:
        rng = Random(0)
        made = [other for solved in sound if (other := corrupt(solved, kind, rng)) is not None]
        judged = [judge(other, checker) for other in made]
        by_steps = sum(WRONG in one.faults or UNKNOWN in one.faults for one in judged)
        in_all = sum(not one.verified() for one in judged)
        yield f"| {kind} | {len(made):,} | {share(by_steps, len(made))} | {share(in_all, len(made))} |"


def main(folder: Path) -> None:
    """Print the tables."""
    checker = ArithmeticSteps(max_merge=2)
    train = gsm8k(folder / "gsm8k" / "train.jsonl")
    Random(0).shuffle(train)
    held_out, test = train[NUM_TUNED:], gsm8k(folder / "gsm8k" / "test.jsonl")
    svamp = [
        Solved(row["question"], f"{row['equation']} = {row['answer']}", row["answer"])
        for part in ("train", "test")
        for row in rows(folder / "svamp" / f"{part}.jsonl")
    ]
    print(
        "| solutions | number | lines with an equation | of lines with = | wrong arithmetic | unknown operand "
        "| too much merged | last result is the answer | verified, whatever is merged | verified | CPU each |"
    )
    print("|---" * 11 + "|")
    print(describe("GSM8K train, tuned on", train[:NUM_TUNED], checker))
    print(describe("GSM8K train, held out", held_out, checker))
    print(describe("GSM8K test", test, checker))
    print(describe("SVAMP, its equations", svamp, checker))
    answers = {solved.question: solved.answer for solved in test}
    written: dict[str, list[Solved]] = {"right": [], "wrong": []}
    for row in rows(folder / "gsm8k" / "example_model_solutions.jsonl"):
        for value in row.values():
            if isinstance(value, dict) and row["question"] in answers:
                kind = "right" if value["is_correct"] else "wrong"
                solution = value["solution"].rpartition("\nA: ")[0]
                written[kind].append(Solved(row["question"], solution, answers[row["question"]]))
    for kind, solutions in written.items():
        print(describe(f"four models, {kind} answers", solutions, checker))
    print("\n| change to a verified solution of GSM8K test | number | caught by a step | not verified |")
    print("|---" * 4 + "|")
    for line in corruptions(test, checker):
        print(line)
    sizes = Counter(
        equation.num_operations for solved in held_out for equation in find_equations(solved.solution)
    )
    print("\noperations in an equation, held out:", dict(sorted(sizes.items())))
    times = []
    for solved in test:
        start = time.process_time()
        judge(solved, checker)
        times.append(time.process_time() - start)
    print(f"CPU time of one check: {1e3 * median(times):.2f} ms at the median")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
