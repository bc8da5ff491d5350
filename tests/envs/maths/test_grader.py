r"""Free-form mathematical answers: values worked by hand, math-verify's own cases, hostile text.

Hostile material runs in a child process of its own (`hostile_run`), which is thrown away.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from envs.grading import Grade, GraderError, why_refused
from envs.maths.gate import why_too_much
from envs.maths.grader import MathGrader, find_answer, read_answer
from envs.maths.grammar import MAX_CHARS, TooDeep, to_latex, tokenize
from envs.maths.values import End, Kind, MathAnswer, Span, merge
from tests.kit.fuzz import mutate

DATA = Path(__file__).parents[2] / "data"
GOLDS = ("24", "1/2", "x^2")
EQUAL_TO_A_GOLD = {("1/2", "50%"), ("1/2", "1⁄2")}  # the only right answers in hostile_answers.jsonl


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def grader() -> MathGrader:
    return MathGrader()


def number(value: Fraction | int | str, **more: Any) -> MathAnswer:
    return MathAnswer(kind=Kind.NUMBER, value=Fraction(value), **more)


# ---- the native reader ----

NUMBERS = {
    "24": Fraction(24),
    "+5": Fraction(5),
    "1,234": Fraction(1234),
    "1{,}234": Fraction(1234),
    "1,\\!234": Fraction(1234),
    "1 000": Fraction(1000),
    "1,000,000.50": Fraction(2000001, 2),
    "-2.5": Fraction(-5, 2),
    "−2.5": Fraction(-5, 2),
    ".5": Fraction(1, 2),
    "5.": Fraction(5),
    "3/4": Fraction(3, 4),
    "-6/8": Fraction(-3, 4),
    "1∕2": Fraction(1, 2),
    r"\frac{3}{4}": Fraction(3, 4),
    r"-\dfrac34": Fraction(-3, 4),
    r"\tfrac3{4}": Fraction(3, 4),
    r"\frac{-3}{4}": Fraction(-3, 4),
    "1 1/2": Fraction(3, 2),
    r"-1\frac{1}{2}": Fraction(-3, 2),  # the sign belongs to the whole
    "$12": Fraction(12),
    r"\$1,200.00": Fraction(1200),
    "12 dollars": Fraction(12),
    r"12\text{ cm}^2": Fraction(12),
    r"90^\circ": Fraction(90),
    r"3 \times 10^8": Fraction(3 * 10**8),
    "2+2=4": Fraction(4),
    r"$\boxed{5}$.": Fraction(5),
    r"\[ \left( 7 \right) \]": Fraction(7),
    r"\displaystyle \text{13}": Fraction(13),
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(text: str) -> None:
    assert read_answer(text) == number(NUMBERS[text])


LEFT_TO_COMPUTE = {
    r"2 + 3 \cdot 4": Fraction(14),
    "2^10": Fraction(1024),
    r"\frac{1+2}{3\cdot 2}": Fraction(1, 2),
    "48/2": Fraction(24),
    r"\frac{48}{2}": Fraction(24),
    "--5": Fraction(5),
}


@pytest.mark.parametrize("text", LEFT_TO_COMPUTE)
def test_numbers_left_to_compute(text: str) -> None:
    assert read_answer(text) == number(LEFT_TO_COMPUTE[text], is_computed=True)


LOW, HIGH = End(-1, Fraction(0)), End(1, Fraction(0))


def end(value: int) -> End:
    return End(0, Fraction(value))


OTHERS = {
    "50%": number(50, is_percent=True),
    r"12.5\%": number("12.5", is_percent=True),
    "28 percent": number(28, is_percent=True),
    "x = 5": number(5, name="x"),
    r"x \approx 5": number(5, name="x"),
    r"x = 1/3 \approx 0.33": number("1/3", name="x"),
    "f(2) = 5": number(5, name="f(2)"),
    r"-\infty": number(0, infinity=-1),
    "∞": number(0, infinity=1),
    "Monday": MathAnswer(kind=Kind.WORD, word="monday"),
    r"\text{ no  solution}": MathAnswer(kind=Kind.WORD, word="no solution"),
    "(A)": MathAnswer(kind=Kind.WORD, word="A"),
    r"\text{(A)}": MathAnswer(kind=Kind.WORD, word="A"),
    "A": MathAnswer(kind=Kind.WORD, word="A", is_bare=True),
    "12:30": MathAnswer(kind=Kind.WORD, word="12:30"),
    "204_{5}": MathAnswer(kind=Kind.WORD, word="204_5"),
    "1, 2": MathAnswer(kind=Kind.LIST, items=(number(1), number(2))),
    r"1\text{ and }2": MathAnswer(kind=Kind.LIST, items=(number(1), number(2))),
    "1, 2, and 3": MathAnswer(kind=Kind.LIST, items=(number(1), number(2), number(3))),
    r"3 \pm 2": MathAnswer(kind=Kind.LIST, items=(number(1), number(5))),
    "32, 349": MathAnswer(kind=Kind.LIST, items=(number(32), number(349))),
    r"\{1, 2\}": MathAnswer(kind=Kind.SET, items=(number(1), number(2))),
    r"\emptyset": MathAnswer(kind=Kind.SET),
    "(1, 2, 3)": MathAnswer(kind=Kind.TUPLE, items=(number(1), number(2), number(3))),
    "(1,234)": MathAnswer(kind=Kind.TUPLE, items=(number(1), number(234))),
    "[0,1)": MathAnswer(kind=Kind.REGION, spans=(Span(end(0), end(1), False, True),)),
    r"(-\infty, 3]": MathAnswer(kind=Kind.REGION, spans=(Span(LOW, end(3), True, False),)),
    r"[0,1] \cup [1,2)": MathAnswer(kind=Kind.REGION, spans=(Span(end(0), end(2), False, True),)),
    r"\{0\} \cup (1,2)": MathAnswer(
        kind=Kind.REGION, spans=(Span(end(0), end(0), False, False), Span(end(1), end(2), True, True))
    ),
    r"5 \le x": MathAnswer(kind=Kind.REGION, spans=(Span(end(5), HIGH, False, True),), name="x"),
    "x < 1 or x > 3": MathAnswer(
        kind=Kind.REGION, spans=(Span(LOW, end(1), True, True), Span(end(3), HIGH, True, True))
    ),
    r"1 > x \ge 0": MathAnswer(kind=Kind.REGION, spans=(Span(end(0), end(1), False, True),), name="x"),
}


@pytest.mark.parametrize("text", OTHERS)
def test_other_kinds(text: str) -> None:
    assert read_answer(text) == OTHERS[text]


UNREAD = [
    "", " ", "$$$", ".", "...", "1, 2, ...", "nan", "oo", "inf", "1/0", r"\frac{1}{0}", "0/0", "11 7/6",
    "4 0/0", "1e5", "2.4e1", "1_000", "0x10", "12 34", "1.2.3", "--", "5 million", "12x", "x^2", r"\sqrt{2}",
    "3+3=2", "x=x", "5%0", "The answer is 24", "[3,1)", "(1", "1)", r"\frac{1}", "9" * 81, "1\n2", "١", "½",
    "2²", r"\boxed{", "24 25",
]  # fmt: skip


@pytest.mark.parametrize("text", UNREAD)
def test_text_without_a_value_is_not_read(text: str) -> None:
    assert read_answer(text) is None


def test_a_union_is_equal_in_any_order() -> None:
    spans = [
        Span(end(2), end(3), True, False),
        Span(end(0), end(2), False, True),
        Span(end(2), end(2), False, False),
    ]
    assert merge(spans) == merge(spans[::-1]) == (Span(end(0), end(3), False, False),)
    assert len(merge(spans[:2])) == 2  # 2 itself is missing


# ---- grades ----

GRADES = [
    ("24", "24.0", Grade.CORRECT),
    ("24", "x = 24", Grade.CORRECT),
    ("24", "3 * 8", Grade.WRONG),  # left to compute
    ("24", "48/2", Grade.WRONG),
    ("24", "\\sqrt{576}", Grade.WRONG),
    ("24", "4!", Grade.REFUSED),
    ("24", "3 * 8 = 24", Grade.CORRECT),
    ("24", "24 = 3 * 8", Grade.WRONG),
    ("24", "x = 20 + 4", Grade.WRONG),
    ("24", "(24)", Grade.CORRECT),
    ("24", "{24}", Grade.CORRECT),
    ("1000", "1.0 \\times 10^{3}", Grade.CORRECT),
    ("3*8", "2*12", Grade.CORRECT),  # like the right answer itself
    ("1/2", "2/4", Grade.CORRECT),
    ("(1, 2)", "(1, 1+1)", Grade.WRONG),
    ("24", r"\{24\}", Grade.CORRECT),
    ("24", "25", Grade.WRONG),
    ("24", "24, 25", Grade.WRONG),
    ("24", "24 or 25", Grade.WRONG),
    ("24", "24, 24", Grade.WRONG),
    ("24", r"24 \pm 1", Grade.WRONG),
    ("24", r"\{24, 25\}", Grade.WRONG),
    ("24", r"(-\infty, \infty)", Grade.WRONG),
    ("24", r"x \in \mathbb{R}", Grade.WRONG),
    ("24", "x = x", Grade.WRONG),
    ("24", "2 = 24", Grade.WRONG),
    ("24", r"\infty", Grade.WRONG),
    ("24", "nan", Grade.MALFORMED),
    ("24", "The answer is 24", Grade.MALFORMED),
    ("24", "24 25", Grade.MALFORMED),
    ("24", "1/0", Grade.MALFORMED),
    ("24", "", Grade.MALFORMED),
    ("24", "2.4e1", Grade.REFUSED),
    ("24", "4!", Grade.REFUSED),
    ("24", "2^{3^{2}}", Grade.WRONG),  # 512
    ("24", "x^{3^{2}}", Grade.REFUSED),
    ("24", "9^{9^{9}}", Grade.REFUSED),
    ("24", "(x+1)^{60}", Grade.REFUSED),
    ("24", "1" * 31 + "x", Grade.REFUSED),
    ("24", "(" * 30 + "24" + ")" * 30, Grade.REFUSED),
    ("24", "24" + " " * 600, Grade.REFUSED),
    ("24", "２４", Grade.REFUSED),
    ("24", r"\sum_{k=1}^{24} 1", Grade.REFUSED),
    ("1/2", "50%", Grade.CORRECT),
    ("1/2", ".5", Grade.CORRECT),
    ("50%", "50", Grade.CORRECT),
    ("50", r"50\%", Grade.CORRECT),
    ("0.5", "50", Grade.WRONG),
    ("1/3", "0.333333", Grade.WRONG),
    (r"\sqrt{17}", "4.123106", Grade.WRONG),
    (r"\sqrt{2}/2", r"\frac{1}{\sqrt2}", Grade.CORRECT),
    ("x^2", "x*x", Grade.CORRECT),
    ("x^2", "y = x^2", Grade.CORRECT),
    ("x^2", "x = x", Grade.WRONG),
    ("x^2", "x^2, x", Grade.WRONG),
    ("x^2", "x^2 = 5", Grade.WRONG),
    ("x = 5", "y = 5", Grade.WRONG),
    ("2x+4y=3", r"y = \frac{3-2x}{4}", Grade.CORRECT),
    ("2x+4y=3", "x = x", Grade.MALFORMED),
    ("2x+4y=3", "3", Grade.WRONG),
    ("x^2+1=0", "x^2+2=0", Grade.WRONG),  # neither has a real solution; math-verify alone calls them equal
    (r"x > \sqrt2", r"(\sqrt{2}, \infty)", Grade.CORRECT),
    (r"(0, \sqrt2)", r"0 < x < \sqrt2", Grade.CORRECT),
    (r"\frac{-1\pm\sqrt5}{2}", r"\frac{-1-\sqrt5}{2}, \frac{\sqrt5-1}{2}", Grade.CORRECT),
    (r"\frac{-1\pm\sqrt5}{2}", r"\frac{-1+\sqrt5}{2}", Grade.WRONG),
    (r"\sqrt2", r"\pm\sqrt2", Grade.WRONG),
    (r"\{1, 2\}", "2, 1", Grade.CORRECT),
    (r"\{1, 2\}", "(1, 2)", Grade.WRONG),
    ("(1, 2)", "(2, 1)", Grade.WRONG),
    ("(0, 1)", "x > 0", Grade.WRONG),
    (r"(0, \infty)", "x > 0", Grade.CORRECT),
    ("Monday", r"\text{MONDAY}", Grade.CORRECT),
    ("Monday", "Tuesday", Grade.WRONG),
    ("(B)", "b", Grade.CORRECT),
    ("B", "A", Grade.WRONG),
    ("ab", "ba", Grade.CORRECT),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&2^2\end{bmatrix}", Grade.CORRECT),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}", Grade.WRONG),
]


@pytest.mark.parametrize(("gold", "text", "expected"), GRADES)
def test_grades(grader: MathGrader, gold: str, text: str, expected: Grade) -> None:
    assert grader.grade(grader.read_gold(gold), text) is expected


@pytest.mark.parametrize("gold", [gold for gold, _, _ in GRADES])
def test_a_right_answer_equals_itself(grader: MathGrader, gold: str) -> None:
    assert grader.grade(grader.read_gold(gold), f"$\\boxed{{{gold}}}$.") is Grade.CORRECT


def test_tolerance() -> None:
    grader = MathGrader(tolerance=1e-3)
    for gold, near, far in [
        ("1/3", "0.3333", "0.33"),
        ("\\sqrt{17}", "4.1231", "4.1"),
        ("[0, 1/3)", "[0,.3333)", "[0,.3)"),
    ]:
        assert grader.grade(grader.read_gold(gold), near) is Grade.CORRECT
        assert grader.grade(grader.read_gold(gold), far) is Grade.WRONG
    with pytest.raises(ValueError, match="tolerance is 0"):
        MathGrader(tolerance=0)


@pytest.mark.parametrize(
    "gold", ["", "x = x", "1/0", "the sum of both numbers is large", r"\sum_{k=0}^n k", "9^9^9", "nan", "²"]
)
def test_a_right_answer_that_cannot_be_used_is_named(grader: MathGrader, gold: str) -> None:
    with pytest.raises(ValueError, match="the right answer"):
        grader.read_gold(gold)


class BrokenSandbox:
    """A sandbox that fails itself."""

    def call(self, operation: str, /, **arguments: Any) -> Any:
        raise GraderError("no worker")


def test_a_failing_sandbox_gives_no_grade() -> None:
    gold = MathGrader().read_gold("x^2")
    with pytest.raises(GraderError):
        MathGrader(sandbox=BrokenSandbox()).grade(gold, "x*x")  # type: ignore[arg-type]


# ---- finding the answer ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{1} or \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("\\boxed{\n  1,\n 2 }", "1, 2"),
        (r"\boxed {5}", "5"),
        (r"\boxed{4} \boxed{5", "4"),
        (r"\boxed{}", ""),
        (r"\boxed 5", None),
        ("nothing", None),
        ("", None),
        ("\\boxed{4\x1c2}", "4\x1c2"),  # left for the gate to refuse
        (r"\boxed{" + "x" * 3000 + "}", None),
    ],
)
def test_find_answer(text: str, expected: str | None) -> None:
    assert find_answer(text) == expected


def test_finding_is_fast_in_hostile_text() -> None:
    start = time.perf_counter()
    for text in ("\\boxed{" * 200_000, "{" * 10**6, "\\boxed{}" * 10**5 + "\\boxed", "\\boxed" + " " * 10**6):
        find_answer(text)
    assert time.perf_counter() - start < 1


# ---- the gate ----


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (r"\int x", r"\int"),
        (r"\binom{9}{3}", r"\binom"),
        ("5!", "!"),
        ("9^9^9", "power of a power"),
        ("9^{9^9}", "power of a power"),
        ("{9^9}^9", None),  # a power of a power in braces: both exponents are bounded
        ("2^{1000}", "exponent over 999"),
        ("2^{999}", None),
        ("x^{101}", "exponent over 100"),
        ("(x+1)^{13}", "exponent over 12"),
        ("1e9", "scientific"),
        ("1E+9", "scientific"),
        ("1" * 30, "30 digits"),
        ("x+" * 150, "symbols"),
        (r"\begin{pmatrix}" + "1&" * 16 + r"1\end{pmatrix}", "matrix"),
    ],
)
def test_gate_in_front_of_algebra(text: str, part: str | None) -> None:
    reason = why_too_much(tokenize(text))
    assert reason is None if part is None else part in (reason or "")


def test_latex_is_rebuilt() -> None:
    assert to_latex(tokenize(r"1.5 × π\,\left(x\right)^2\text{ cm}")) == r"(\frac{15}{10}) \cdot  \pi  (x)^{2}"
    assert to_latex(tokenize("sqrt(2)/x^(1/2)")) == r"\sqrt{2}/x^{1/2}"
    with pytest.raises(TooDeep):
        tokenize("(" * 21)


# ---- math-verify's own cases ----


def agreement(cases: list[dict[str, Any]]) -> tuple[int, int, Counter[str]]:
    """The number of cases, how many verdicts agree with math-verify's, and the reasons why others do not."""
    why = Counter(case["why"] for case in cases if case["ours"] != case["expected"])
    return len(cases), len(cases) - why.total(), why


def our_verdict(case: dict[str, Any]) -> bool:
    grader = MathGrader(tolerance=case.get("tolerance"))
    try:
        return grader.grade(grader.read_gold(case["gold"]), case["answer"]) is Grade.CORRECT
    except ValueError:
        return False  # such data would be refused


def test_math_verify_cases() -> None:
    cases = lines("math_verify_cases.jsonl")
    differing = [case for case in cases if our_verdict(case) != case["ours"]]
    assert not differing
    num_cases, num_agree, why = agreement(cases)
    assert num_agree / num_cases >= 0.9 and "" not in why
    natively = sum(
        read_answer(case["gold"]) is not None and read_answer(case["answer"]) is not None for case in cases
    )
    print(f"{num_agree} of {num_cases} agree, {natively} read natively on both sides; {dict(why)}")


# ---- hostile text ----


def hostile_run() -> Iterator[tuple[str, Any]]:
    """Grade everything hostile; each finding is (name, value)."""
    texts = [line["text"] for line in lines("hostile_answers.jsonl")]
    grader = MathGrader(timeout_s=1.0)
    golds = [grader.read_gold(text) for text in GOLDS]
    grader.grade(golds[2], "x+x")  # starts the sandbox
    worst_read = worst_grade = 0.0
    for text in texts:
        start = time.perf_counter()
        read_answer(text)
        worst_read = max(worst_read, time.perf_counter() - start)
        for gold in golds:
            start = time.perf_counter()
            grade = grader.grade(gold, text)
            worst_grade = max(worst_grade, time.perf_counter() - start)
            if grade is Grade.CORRECT:
                yield "correct", (gold.text, text)
    rng = Random(7)
    seeds = [text for text in texts if len(text) <= 300] + [
        case["answer"] for case in lines("math_verify_cases.jsonl")
    ]
    for _ in range(3000):
        text = mutate(rng.choice(seeds), seeds, rng)
        start = time.perf_counter()
        read_answer(text)
        if why_refused(text, max_chars=MAX_CHARS) is None:
            try:
                tokens = tokenize(text)
                why_too_much(tokens), to_latex(tokens)
            except TooDeep:
                pass
        worst_read = max(worst_read, time.perf_counter() - start)
    yield "worst_read_s", worst_read
    yield "worst_grade_s", worst_grade


def _report(connection: Any) -> None:
    connection.send(list(hostile_run()))


def test_hostile_text_is_never_right_and_never_slow() -> None:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=partial(_report, theirs))
    child.start()
    theirs.close()
    try:
        findings = ours.recv() if ours.poll(120) else None
    finally:
        child.kill()
        child.join()
    assert findings is not None
    values = dict(findings)
    assert {value for what, value in findings if what == "correct"} == EQUAL_TO_A_GOLD
    assert values["worst_read_s"] < 0.05
    assert values["worst_grade_s"] < 10  # four sides of an equation, each within the time limit and its grace
    canaries = [line["canary"] for line in lines("hostile_answers.jsonl") if line.get("canary")]
    assert not [path for path in canaries if Path(path).exists()]


def test_the_native_reader_is_fast(grader: MathGrader) -> None:
    pairs = [
        ("24", "24"),
        ("1/2", r"\frac{1}{2}"),
        ("1234", "1,234"),
        ("12", "$12"),
        ("-3", "-3"),
        ("50%", "0.5"),
    ]
    golds = [(grader.read_gold(gold), text) for gold, text in pairs]
    spent: list[float] = []
    for _ in range(200):
        for gold, text in golds:
            start = time.perf_counter()
            grader.grade(gold, text)
            spent.append(time.perf_counter() - start)
    median = statistics.median(spent)
    print(f"native grade: median {median * 1e6:.1f} µs")
    assert median < 500e-6
