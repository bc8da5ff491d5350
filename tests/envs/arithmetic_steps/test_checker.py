"""Verdicts on equations, through the task `math`; what earns reward where they are checked."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from envs import Problem, Split, StepKind, Trace, Verdict, make_env, make_example
from envs.arithmetic_steps import ArithmeticSteps
from envs.arithmetic_steps.operands import numbers
from envs.check.references import solution
from rewards import RewardSum, Term

# Three problems of GSM8K (openai/grade-school-math, MIT).
ROWS = [
    {
        "question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in "
        "May. How many clips did Natalia sell altogether in April and May?",
        "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
        "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72",
    },
    {
        "question": "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of "
        "babysitting. How much did she earn?",
        "answer": "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\n"
        "Working 50 minutes, she earned 0.2 x 50 = $<<0.2*50=10>>10.\n#### 10",
    },
    {
        "question": "Mark has a garden with flowers. He planted plants of three different colors in it. Ten of "
        "them are yellow, and there are 80% more of those in purple. There are only 25% as many green flowers "
        "as there are yellow and purple flowers. How many flowers does Mark have in his garden?",
        "answer": "There are 80/100 * 10 = <<80/100*10=8>>8 more purple flowers than yellow flowers.\n"
        "So in Mark's garden, there are 10 + 8 = <<10+8=18>>18 purple flowers.\n"
        "Purple and yellow flowers sum up to 10 + 18 = <<10+18=28>>28 flowers.\n"
        "That means in Mark's garden there are 25/100 * 28 = <<25/100*28=7>>7 green flowers.\n"
        "So in total Mark has 28 + 7 = <<28+7=35>>35 plants in his garden.\n#### 35",
    },
]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("rows")
    train, held_out = folder / "train.jsonl", folder / "id.jsonl"
    train.write_text("\n".join(json.dumps(row) for row in ROWS))
    held_out.write_text(json.dumps({"question": "How much is 3 + 4?", "answer": "3 + 4 = 7\n#### 7"}))
    settings = {"preset": "gsm8k", "train": str(train), "id": str(held_out), "check_steps": "arithmetic"}
    return make_env("math", settings)


def clips(env: Any) -> Problem:
    problems = [env.problem(Split.TRAIN, index) for index in range(3)]
    problem: Problem = next(problem for problem in problems if problem.answer == "72")
    return problem


def judge(env: Any, text: str, answer: str = "72") -> Trace:
    trace: Trace = env.check(clips(env), env.parse(f"{text}\n\nThus, the answer is {answer}."))
    return trace


def reasons(env: Any, text: str) -> list[str]:
    return [step.reason for step in judge(env, text).steps]


def test_gold_solutions_are_verified_and_their_steps_are_their_equations(env: Any) -> None:
    assert env.checks_steps
    lengths = {}
    for index in range(3):
        problem = env.problem(Split.TRAIN, index)
        lines = solution(env, problem)
        trace = env.check(problem, env.parse(env.demonstrate(lines, problem.answer)))
        assert trace.verified
        assert trace.num_steps == problem.num_full_steps == env.count_steps(lines)
        lengths[problem.answer] = trace.num_steps
    assert lengths == {"72": 2, "10": 2, "35": 5}


def test_steps_have_the_text_and_the_place_of_their_equation(env: Any) -> None:
    text = "In May it was 48/2 = 24 clips. Together 48 + 24 = 72.\n\nThus, the answer is 72."
    trace = env.check(clips(env), env.parse(text))
    assert [step.text for step in trace.steps] == ["48/2 = 24", "48 + 24 = 72"]
    assert all(text[slice(*step.span)] == step.text for step in trace.steps)
    assert {step.verdict for step in trace.steps} == {Verdict.VALID}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("48/2 = 24. 48 + 24 = 72", ["", ""]),
        ("48/2 = 25. 48 + 25 = 73", ["wrong arithmetic", ""]),  # the claim stands, so it is reported once
        ("48/2 = 24. 48 + 25 = 73", ["", "unknown operand"]),
        ("50 + 22 = 72", ["unknown operand"]),
        ("48/2 + 48 = 24 + 48 = 72", [""]),  # two operations, and 24 follows from the side before
        ("48/2 + 48 - 0 = 72", ["too much merged"]),
        ("48/2 = 24 = 25", ["wrong arithmetic"]),  # every equality of a chain is checked
        ("48 * 50% = 24, and 24 + 48 = 72", ["", ""]),  # half
        ("48 * 1/2 = 24; 24 + 48 = 72", ["", ""]),
        ("She sold many clips.", []),
        ("x = 72", [""]),  # sets x, and is not checked
        ("2x + 48 = 192, so 2x = 144 and x = 72.", ["", "", ""]),
        ("2x = 48, so x = 25.", ["", "wrong arithmetic"]),
        ("2x = 48, so x = 24. Now 3x = 48.", ["", "", ""]),  # another x
        ("6x / 6 = 48 feet / 6, so x = 8", [""]),  # units cut it off
        ("2 x 3 = 6 and 2 x 48 = 96", ["", ""]),  # no letter
        ("x + 2x + 2x + 4 = 48, so x = 8.8", ["", "too much merged"]),
    ],
)
def test_each_equation_has_its_verdict(env: Any, text: str, expected: list[str]) -> None:
    assert reasons(env, text) == expected


def test_a_percentage_needs_its_number() -> None:
    checker = ArithmeticSteps()
    problem = Problem(
        env="math", split=Split.TRAIN, index=0, question="A 40 dollar coat is 25% off.", prompt="", answer="30",
        num_full_steps=1, difficulty=0,
    )  # fmt: skip
    known = checker.start(problem)
    for text in ("40 * 0.25 = 10", "75% of 40 is 30", "40 * 3/4 = 30", "0.75 * 40 = 30", "40 - 25% of 40 = 30"):
        checker.advance(known, text)
    assert checker.finished(checker.advance(known, "0.75 * 40 = 30"))
    with pytest.raises(Exception, match="unknown operand"):
        checker.advance(known, "0.65 * 40 = 26")


@pytest.mark.parametrize(
    "text",
    [
        "",  # a bare answer
        "She sold 24 clips in May and 72 in all.",
        "x = 72",
        "x + 1 = 73, so x = 72.",  # 73 comes from nowhere
        "x = 72. x = 72.",
        "48/2 = 24",  # half way
        "48/2 = 24. 48 + 24 = 72. 72 - 1 = 71.",  # the last result is another
        "60 + 12 = 72",  # constants alone lead nowhere
        "48/2 = 24. 48 + 24 + 0 = 72. It is 9 * 8 = 72.",
        "72 * 1 = 72",
        "71 + 1 = 72",
    ],
)
def test_what_does_not_lead_to_the_answer_is_not_verified(env: Any, text: str) -> None:
    trace = judge(env, text)
    assert trace.correct
    assert not trace.verified


def test_reward_is_for_computed_steps_alone(env: Any) -> None:
    rewards = RewardSum(
        [Term(name="correct", weight=1.0), Term(name="step_count", weight=-0.5, gate="correct")]
    )
    problem = clips(env)

    def earns(text: str, answer: str = "72") -> float:
        return rewards(problem, [judge(env, text, answer)])[0].total

    in_two, in_one = earns("48/2 = 24. 48 + 24 = 72."), earns("48/2 + 48 = 72.")
    assert in_two == pytest.approx(0.5)
    assert in_one == pytest.approx(0.75)  # one step of two is saved
    assert earns("48/2 = 24.\n\n48 + 24 = 72.") == in_two  # layout is worth nothing
    assert earns("We think.\n\nStep by step.\n\n48/2 = 24.\n\nNow:\n\n48 + 24 = 72.") == in_two
    for text in ("", "72", "71 + 1 = 72", "48/2 = 25. 48 + 25 = 72.", "48 + 24 = 72", "48/2 + 48 - 0 = 72"):
        assert earns(text) <= in_two, text
    assert earns("48/2 = 24. 48 + 24 = 72.", answer="71") <= 0


def test_a_letter_that_is_solved_for_is_a_result(env: Any) -> None:
    trace = judge(env, "Let x be all clips. x - 48 = 48/2, x - 48 = 24, x = 72.")
    assert [step.verdict for step in trace.steps] == [Verdict.UNCHECKED, Verdict.VALID, Verdict.VALID]
    assert trace.verified
    assert judge(env, "48/2 = 24. x - 24 = 48. x = 72.").verified
    assert not judge(env, "48/2 = 24. x - 24 = 48. x = 73.", answer="73").verified


@pytest.mark.parametrize("end", ["\\boxed{72}", "**72**", "72\n\n#### 72", "72. So the answer is 72."])
def test_the_last_result_may_be_stated_in_any_form(env: Any, end: str) -> None:
    trace = env.check(clips(env), env.parse(f"48/2 = 24 and 48 + 24 = {end}"))
    assert trace.correct is ("**" not in end)
    assert [step.verdict for step in trace.steps] == [Verdict.VALID, Verdict.VALID]
    assert trace.finished


def test_backtracks_in_words_are_marked_and_restore_nothing(env: Any) -> None:
    trace = judge(env, "48/2 = 25. Wait, that is wrong. 48/2 = 24. 48 + 24 = 72.")
    assert [step.kind for step in trace.steps].count(StepKind.MARKER) == 1
    assert trace.num_backtracks == 1
    assert [step.verdict for step in trace.steps if step.kind is StepKind.MARKER] == [Verdict.UNCHECKED]
    assert not trace.verified  # the wrong equation still stands


def test_without_the_setting_nothing_is_checked() -> None:
    env = make_example("math")
    problem = env.problem(Split.TRAIN, 0)
    trace = env.check(problem, env.parse(env.demonstrate(env.full_trace(problem), problem.answer)))
    assert not env.checks_steps
    assert trace.correct
    assert not trace.verified


@pytest.mark.parametrize(
    ("question", "known", "unknown"),
    [
        ("A house costs $100 000 and 250 people see it.", ["100000", "250"], []),
        ("It has 3 000 000 seats and 12\u202f500 doors.", ["3000000", "12500"], []),
        ("Rows of 12 100 seats.", ["12", "100"], ["12100"]),  # two numbers, or one: they stay two
        ("On 7/4/2024 100 people came.", ["100"], ["2024100"]),
    ],
)
def test_thousands_may_be_spaced_where_that_is_no_second_number(
    question: str, known: list[str], unknown: list[str]
) -> None:
    found = numbers(question)
    assert {Fraction(number) for number in known} <= found
    assert not {Fraction(number) for number in unknown} & found
