"""Multi-digit addition, on examples worked by hand."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.addition import Addition
from envs.trace import Verdict, parse_trace, render_trace
from tests.kit.problems import judge, make_problem, refusal


def ask(first: int, second: int) -> Problem:
    return make_problem("addition", f"Add {first} and {second}", str(first + second))


@pytest.mark.parametrize(
    ("first", "second", "lines"),
    [
        (
            345,
            78,
            (
                "1. 5 + 8 + 0 = 13, write 3, carry 1",
                "2. 4 + 7 + 1 = 12, write 2, carry 1",
                "3. 3 + 0 + 1 = 4, write 4, carry 0",
            ),
        ),
        (
            95,
            7,  # 102: the last column carries
            (
                "1. 5 + 7 + 0 = 12, write 2, carry 1",
                "2. 9 + 0 + 1 = 10, write 0, carry 1",
                "3. carry 1, write 1",
            ),
        ),
        (0, 0, ("1. 0 + 0 + 0 = 0, write 0, carry 0",)),
        (9, 9, ("1. 9 + 9 + 0 = 18, write 8, carry 1", "2. carry 1, write 1")),
        (
            4,
            120,  # the second operand can be the longer one
            (
                "1. 4 + 0 + 0 = 4, write 4, carry 0",
                "2. 0 + 2 + 0 = 2, write 2, carry 0",
                "3. 0 + 1 + 0 = 1, write 1, carry 0",
            ),
        ),
    ],
)
def test_full_trace(first: int, second: int, lines: tuple[str, ...]) -> None:
    assert Addition().full_trace(ask(first, second)) == lines


LOW = ("1. 45 + 78 + 0 = 123, write 23, carry 1", "2. 3 + 0 + 1 = 4, write 4, carry 0")
HIGH = ("1. 5 + 8 + 0 = 13, write 3, carry 1", "2. 34 + 7 + 1 = 42, write 42, carry 0")


@pytest.mark.parametrize(
    ("first", "second", "kind", "lines"),
    [
        (345, 78, "low_pair", LOW),
        (345, 78, "high_pair", HIGH),
        # 05 + 02 is printed 5 + 2, but 07 is written down.
        (305, 2, "low_pair", ("1. 5 + 2 + 0 = 7, write 07, carry 0", "2. 3 + 0 + 0 = 3, write 3, carry 0")),
        # The final carry keeps its own line.
        (95, 7, "low_pair", ("1. 95 + 7 + 0 = 102, write 02, carry 1", "2. carry 1, write 1")),
        (95, 7, "high_pair", ("1. 95 + 7 + 0 = 102, write 02, carry 1", "2. carry 1, write 1")),
        (95, 7, "random_pair", ("1. 95 + 7 + 0 = 102, write 02, carry 1", "2. carry 1, write 1")),
        (9, 9, "random_pair", None),
        (9, 9, "low_pair", None),
        (9, 9, "high_pair", None),
    ],
)
def test_skipped_trace(first: int, second: int, kind: str, lines: tuple[str, ...] | None) -> None:
    assert Addition().skipped_trace(ask(first, second), kind, random.Random(0)) == lines


def test_random_pair_draws_low_and_high_equally_often() -> None:
    """The released data has 101 high pairs and 134 low ones with three columns."""
    env = Addition()
    seen = Counter(env.skipped_trace(ask(345, 78), "random_pair", random.Random(seed)) for seed in range(400))
    assert set(seen) == {LOW, HIGH}
    assert 150 < seen[LOW] < 250


def test_random_pair_reaches_the_middle_of_longer_operands() -> None:
    env = Addition()
    seen = {env.skipped_trace(ask(1234, 5), "random_pair", random.Random(seed)) for seed in range(60)}
    middle = (
        "1. 4 + 5 + 0 = 9, write 9, carry 0",
        "2. 23 + 0 + 0 = 23, write 23, carry 0",
        "3. 1 + 0 + 0 = 1, write 1, carry 0",
    )
    assert len(seen) == 3
    assert middle in seen


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2. 5 + 8 + 0 = 13, write 3, carry 1", "step number should be 1"),
        ("01. 5 + 8 + 0 = 13, write 3, carry 1", "step number should be 1"),
        ("1. 4 + 8 + 0 = 13, write 3, carry 1", "first operand should be 5"),
        ("1. 05 + 8 + 0 = 13, write 3, carry 1", "first operand should be 5"),
        ("1. 8 + 5 + 0 = 13, write 3, carry 1", "first operand should be 5"),  # columns are not swapped
        ("1. 5 + 7 + 1 = 13, write 3, carry 1", "second operand should be 8"),
        ("1. 5 + 8 + 1 = 13, write 3, carry 1", "carry in should be 0"),
        ("1. 5 + 8 + 0 = 12, write 3, carry 1", "sum should be 13"),
        ("1. 5 + 8 + 0 = 013, write 3, carry 1", "sum should be 13"),
        ("1. 5 + 8 + 0 = 13, write 4, carry 1", "written part should be 3"),
        ("1. 5 + 8 + 0 = 13, write 3, carry 0", "carry should be 1"),
        ("1. 5 + 8 + 0 = 13, write 3, carry 01", "carry should be 1"),
        ("1. 5 + 8 + 0 = 13, write 13, carry 0", "first operand should be 45"),  # two digits: two columns
        ("1. 345 + 78 + 0 = 423, write 423, carry 0", "3 columns in one line, at most 2"),
        ("1. carry 1, write 1", "not a column sum"),
        ("1. 5 + 8 = 13, write 3, carry 1", "not a column sum"),
        ("1. 5 + 8 + 0 = 13, write 3, carry 1 ", "not a column sum"),
        ("1. 5 + 8 + 0 = 13, write 3, carry 1\r", "not a column sum"),
        ("1. 5 +  8 + 0 = 13, write 3, carry 1", "not a column sum"),
        ("1. +5 + 8 + 0 = 13, write 3, carry 1", "not a column sum"),
        ("1. 5 + 8 + 0 = 1_3, write 3, carry 1", "not a column sum"),
        ("1. ٥ + 8 + 0 = 13, write 3, carry 1", "not a column sum"),
        ("1. 5 + 8 + 0 = 13, write " + "3" * 13 + ", carry 1", "not a column sum"),
        ("1. 5 + 8 + 0 = " + "1" * 9000 + ", write 3, carry 1", "not a column sum"),
        ("", "not a column sum"),
    ],
)
def test_refused_steps(line: str, reason: str) -> None:
    assert refusal(ask(345, 78), [line]) == reason


def test_a_line_never_extends_past_the_operands() -> None:
    lines = [LOW[0], "2. 3 + 0 + 1 = 4, write 04, carry 0"]
    assert refusal(ask(345, 78), lines) == "2 columns in one line, only 1 left"


def test_the_final_carry_is_not_merged_into_its_column() -> None:
    env = Addition()
    trace = render_trace(["1. 5 + 7 + 0 = 12, write 2, carry 1", "2. 9 + 0 + 1 = 10, write 10, carry 0"], "102")
    assert [step.reason for step in env.check(ask(95, 7), parse_trace(trace)).steps] == [
        "",
        "2 columns in one line, only 1 left",
    ]


def test_nothing_follows_the_last_column() -> None:
    assert refusal(ask(345, 78), [*LOW, LOW[1]]) == "the sum is already complete"
    assert refusal(ask(345, 78), [*LOW, "3. carry 1, write 1"]) == "the sum is already complete"


@pytest.mark.parametrize("line", ["3. carry 1, write 1", "2. carry 1, write 01", "2. carry 0, write 0", "x"])
def test_only_the_carry_may_follow_a_last_column_that_carries(line: str) -> None:
    env = Addition()
    state = env.advance(env.start(ask(95, 7)), "1. 95 + 7 + 0 = 102, write 02, carry 1")
    with pytest.raises(
        StepError, match=r"^only the final carry is left; the line should be '2\. carry 1, write 1'$"
    ):
        env.advance(state, line)
    with pytest.raises(StepError, match=r"^the sum is already complete$"):
        env.advance(env.advance(state, "2. carry 1, write 1"), "3. carry 1, write 1")


def test_max_merge_sets_the_width() -> None:
    whole = "1. 345 + 78 + 0 = 423, write 423, carry 0"
    env = Addition({"max_merge": 3})
    assert env.advance(env.start(ask(345, 78)), whole).columns == 0
    assert refusal(ask(345, 78), [LOW[0]], env=Addition({"max_merge": 1})) == "2 columns in one line, at most 1"


def test_after_a_backtrack_numbering_continues_from_the_restored_step() -> None:
    lines = ["1. 5 + 8 + 0 = 13, write 3, carry 1", "<backtrack> 0", *LOW]
    trace = judge(ask(345, 78), lines, "423")
    assert (trace.verified, trace.num_steps, trace.real_backtracks) == (True, 3, 1)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "424",
        "0423",
        "+423",
        "-423",
        "423.0",
        "4_23",
        " 423",
        "423 ",
        "4 23",
        "4,23",
        "٤٢٣",
        "４２３",
        "4.23e2",
    ],
)
def test_answers_refused(answer: str) -> None:
    assert Addition().grade_answer(ask(345, 78), "423") is Grade.CORRECT
    assert Addition().grade_answer(ask(345, 78), answer) is not Grade.CORRECT


@pytest.mark.parametrize(
    ("answer", "grade"),
    [("424", Grade.WRONG), ("0", Grade.WRONG), ("0423", Grade.MALFORMED), ("", Grade.MALFORMED)],
)
def test_another_number_is_wrong_and_other_text_malformed(answer: str, grade: Grade) -> None:
    assert Addition().grade_answer(ask(345, 78), answer) is grade


def test_zero_has_one_spelling() -> None:
    assert Addition().grade_answer(ask(0, 0), "0") is Grade.CORRECT
    grades = [Addition().grade_answer(ask(0, 0), answer) for answer in ("00", "-0", "", "o")]
    assert grades == [Grade.MALFORMED] * 4


def test_sums_are_right_and_steps_are_columns_plus_carry() -> None:
    env = Addition()
    for split in Split:
        for index in range(200):
            problem = env.problem(split, index)
            first, second = problem.question.removeprefix("Add ").split(" and ")
            assert int(problem.answer) == int(first) + int(second)
            longer = max(len(first), len(second))
            assert problem.num_full_steps == longer + (len(problem.answer) > longer)


def test_buckets_are_drawn_by_the_released_counts() -> None:
    env = Addition()
    counts = Counter(env.bucket(env.problem(Split.TRAIN, index)) for index in range(4000))
    # 2855 released items: 4000 · 628 / 2855 = 880 of 3_2, 4000 · 26 / 2855 = 36 of 1_1; five sigma.
    assert set(counts) == {"1_1", "2_1", "2_2", "3_1", "3_2", "3_3"}
    assert abs(counts["3_2"] - 880) < 132
    assert abs(counts["1_1"] - 36) < 30
    easy = {env.bucket(env.problem(Split.OOD_EASY, index)) for index in range(300)}
    hard = {env.bucket(env.problem(Split.OOD_HARD, index)) for index in range(300)}
    assert easy == {f"{a}_{b}" for a in (4, 5, 6, 7) for b in (1, 2, 3)}
    assert hard == {f"{a}_{b}" for a in (4, 5, 6, 7) for b in (4, 5, 6, 7)}


def test_mean_full_steps_is_near_the_released_one() -> None:
    """Released means: 2.90 train, 5.51 easy, 6.30 hard; the deviation is about 1, so 0.15 is 4 sigma."""
    env = Addition()
    for split, mean in ((Split.TRAIN, 2.90), (Split.OOD_EASY, 5.51), (Split.OOD_HARD, 6.30)):
        steps = [env.problem(split, index).num_full_steps for index in range(1000)]
        assert abs(sum(steps) / 1000 - mean) < 0.15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ["3"]}, "got the bucket '3'; a bucket is two digit counts from 1 to 100, such as '3_2'"),
        ({"train": ["0_1"]}, "got the bucket '0_1'; a bucket is two digit counts from 1 to 100, such as '3_2'"),
        (
            {"train": ["3_101"]},
            ("got the bucket '3_101'; a bucket is two digit counts from 1 to 100, such as '3_2'"),
        ),
        ({"train": ["٣_1"]}, "got the bucket '٣_1'; a bucket is two digit counts from 1 to 100, such as '3_2'"),
        ({"train": ["4_1"]}, "train and ood_easy share the buckets ['4_1']; remove them from one of the two"),
        ({"max_merge": 12}, "less than or equal to 11"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Addition(settings)
    assert message in str(wrong.value)


def test_very_long_operands_work() -> None:
    env = Addition({"train": ["100_99"]})
    problem = env.problem(Split.TRAIN, 0)
    trace = judge(problem, env.full_trace(problem), env=env)
    assert trace.verified
    assert trace.num_steps in (100, 101)


# ---- detours ----


@pytest.mark.parametrize("errors", [["digit"], ["carry"], ["digit", "carry"], ["carry", "carry", "digit"]])
def test_wrong_lines_are_taken_back_and_the_trace_verified(errors: list[str]) -> None:
    env = Addition()
    for index in range(100):
        problem = env.problem(Split.OOD_EASY, index)
        demonstration = env.detour_trace(problem, errors, random.Random(index))
        assert demonstration is not None and len(demonstration.lines) == problem.num_full_steps + 2 * len(
            errors
        )
        trace = judge(problem, demonstration.lines, env=env)
        assert trace.verified
        assert [(b.num_undone, b.real, b.needed) for b in trace.backtracks] == [(1, True, True)] * len(errors)
        assert {
            i for i, step in enumerate(trace.steps) if step.verdict is Verdict.INVALID
        } == demonstration.wrong
        assert {i for i, step in enumerate(trace.steps) if step.undone} == demonstration.wrong


def test_rewriting_a_correct_line_is_a_needless_and_fake_backtrack() -> None:
    env = Addition()
    problem = env.problem(Split.OOD_EASY, 0)
    demonstration = env.detour_trace(problem, ["again"], random.Random(0))
    assert demonstration is not None and demonstration.wrong == frozenset()
    trace = judge(problem, demonstration.lines, env=env)
    assert trace.verified
    assert [(b.num_undone, b.real, b.needed) for b in trace.backtracks] == [(1, False, False)]


def test_a_trace_has_at_most_one_detour_per_line() -> None:
    env, problem = Addition(), ask(3, 4)
    assert env.detour_trace(problem, ["digit"], random.Random(0)) is not None
    assert env.detour_trace(problem, ["digit", "carry"], random.Random(0)) is None
