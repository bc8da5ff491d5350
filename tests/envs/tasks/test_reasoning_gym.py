"""Tasks of reasoning-gym: which can be used, how answers are read and graded, and which answers are wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import envs.tasks.reasoning_gym.task
from envs import Grade, GraderError, Problem, Split, Status, Trace, render_trace
from envs.check.contract import check_env
from envs.generated import home
from envs.sandbox import Reply, ReplyStatus
from envs.tasks.reasoning_gym.layout import as_written
from envs.tasks.reasoning_gym.scorers import OWN, read_sum
from envs.tasks.reasoning_gym.settings import PRESETS, Preset
from envs.tasks.reasoning_gym.stricter import STRICTER
from envs.tasks.reasoning_gym.task import REFUSED, ReasoningGym, _generator, _grade_of
from tests.kit import hostile

ROOT = Path(__file__).parents[3]


def right_countdown(problem: Problem, trace: Trace) -> bool:
    """An independent check: Python's evaluation with exact fractions."""
    text, numbers = trace.answer or "", re.compile("[0-9]+")
    asked = [int(n) for n in numbers.findall(problem.question.partition("\n\nFinal")[0])]
    target = next(n for n in asked if n >= 100 and eval_fraction(problem.answer) == n)
    asked.remove(target)
    used = sorted(int(n) for n in numbers.findall(text))
    return used == sorted(asked) and eval_fraction(text) == target


def eval_fraction(text: str) -> Fraction | None:
    if not re.fullmatch("[0-9()*/+ -]+", text) or "**" in text or "//" in text:
        return None
    try:
        return Fraction(eval(re.sub("([0-9]+)", r"Fraction(\1)", text)))
    except (SyntaxError, ZeroDivisionError, TypeError):
        return None


def right_measure(problem: Problem, trace: Trace) -> bool:
    """Within the rounding that the question specifies."""
    pattern = re.compile(r"[+-]?[0-9]*\.?[0-9]*")
    found = [float(n) for n in pattern.findall(trace.answer or "") if n.strip("+-.")]
    right = [float(n) for n in pattern.findall(problem.answer) if n.strip("+-.")]
    far = 0.01 if "°" in problem.answer else 0.001
    return len(found) == len(right) and all(abs(a - b) <= far for a, b in zip(found, right, strict=True))


def same_layout(problem: Problem, trace: Trace) -> bool:
    """The right answer with other spaces."""
    return "".join((trace.answer or "").split()) == "".join(problem.answer.split())


JUDGES: dict[str, Callable[[Problem, Trace], bool]] = {
    "countdown": right_countdown,
    "advanced_geometry": right_measure,
}


def make(task: str, seed: int = 0, **settings: Any) -> ReasoningGym:
    return ReasoningGym({"task": task, "seed": seed, **settings})


def grade(env: ReasoningGym, problem: Problem, answer: str) -> Grade | None:
    return env.check(problem, env.parse(render_trace(("So.",), answer))).grade


# ---- the contract ----


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_contract(preset: str) -> None:
    num = 3 if preset in ("zebra_puzzles", "sudoku", "countdown") else 8
    report = check_env(
        ReasoningGym({"preset": preset}), num_problems=num, oracle=JUDGES.get(preset, same_layout)
    )
    assert report.num_problems == 2 * num
    assert report.num_near_misses > 5 * report.num_problems


@pytest.mark.slow
def test_out_of_distribution_splits() -> None:
    settings = {
        "preset": "color_cube_rotation",
        "ood_easy": {"min_rotations": 4, "max_rotations": 4},
        "ood_hard": {"min_rotations": 9, "max_rotations": 9},
    }
    report = check_env(ReasoningGym(settings), num_problems=10)
    assert report.num_problems == 40
    env = ReasoningGym(settings)
    assert env.splits == tuple(Split)
    for split, num in ((Split.OOD_EASY, 4), (Split.OOD_HARD, 9)):
        assert env.problem(split, 0).question.count("cube is") + env.problem(split, 0).question.count(
            "is rotated to become"
        ) in (num, num + 1)  # the question has "of the cube" once or not at all


@pytest.mark.slow
def test_problems_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib\n"
        "from envs.tasks.reasoning_gym.task import ReasoningGym\n"
        "from envs.tasks.reasoning_gym.settings import PRESETS\n"
        "for name in PRESETS:\n"
        "    env = ReasoningGym({'preset': name})\n"
        "    text = repr([env.problem(split, i) for split in env.splits for i in range(2)])\n"
        "    print(name, hashlib.blake2b(text.encode()).hexdigest())\n"
        "import sys; print(sorted({'reasoning_gym', 'sympy', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0].splitlines())) == len(PRESETS) + 1
    assert runs[0].endswith("[]\n"), "the package is not imported in this process"


def test_neighbouring_seeds_share_nothing() -> None:
    one, two = ({make("arc_1d", seed).problem(Split.TRAIN, i).question for i in range(50)} for seed in (0, 1))
    assert len(one) == len(two) == 50
    assert not one & two


def test_presets_are_the_tasks_of_the_paper() -> None:
    assert tuple(PRESETS) == get_args(Preset)


# ---- which tasks ----


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no task is named; set `task`, or `preset` to one of countdown"),
        ({"task": "countdwn"}, "did you mean 'countdown'"),
        ({"preset": "countdwn"}, "countdown"),
        ({"preset": "sudoku", "task": "maze"}, "preset is sudoku, but task is maze; leave one of the two out"),
        ({"preset": "sudoku", "config": {"max_emtpy": 3}}, "no setting 'max_emtpy'; did you mean 'max_empty'"),
        ({"preset": "sudoku", "config": {"seed": 3}}, "no setting 'seed'"),
        ({"preset": "sudoku", "config": {"max_empty": 3}}, "refuses the settings of train: max_empty must be"),
        ({"preset": "sudoku", "config": {"max_empty": "x"}}, "refuses the settings of train"),
        ({"preset": "sudoku", "ood_hard": {"max_empty": 65}}, "refuses the settings of ood_hard"),
        (
            {"preset": "sudoku", "ood_hard": {"max_empty": 50}},
            ("two of train, ood_easy and ood_hard have the same settings"),
        ),
        ({"preset": "sudoku", "levels": 3}, "levels"),
        ({"preset": "sudoku", "timeout_s": 0}, "timeout_s"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, ValidationError), match=re.escape(message)):
        ReasoningGym(settings)


@pytest.mark.parametrize("task", sorted(REFUSED))
def test_refused_by_name(task: str) -> None:
    with pytest.raises(ValueError, match=f"{task} cannot be used"):
        make(task)


@pytest.mark.parametrize("task", ["boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"])
def test_tasks_without_answers_are_refused(task: str) -> None:
    with pytest.raises(ValueError, match=f"{task} cannot be used: 8 of 8 .* no answer written down"):
        make(task)


def test_every_name_here_is_a_task() -> None:
    known = set(_generator().call("tasks").value)
    assert known >= {*PRESETS, *REFUSED, *OWN, *STRICTER}
    assert len(known) == 106


def test_no_scorer_that_evaluates_is_ever_called() -> None:
    evaluates = (*(OWN.keys() - {"futoshiki"}), "intermediate_integration")
    for task in evaluates:
        reply = _generator().call("score", task=task, config={}, entry={}, answer="1")
        assert reply.status is ReplyStatus.CRASH and "evaluates answers as code" in reply.detail
    assert len(evaluates) == 9


def test_other_splits_have_no_problems() -> None:
    with pytest.raises(ValueError, match=r"set env\.settings\.ood_hard"):
        make("maze").problem(Split.OOD_HARD, 0)


def test_no_solutions() -> None:
    env = make("maze")
    with pytest.raises(ValueError, match="set warm_start to null"):
        env.full_trace(env.problem(Split.TRAIN, 0))


def test_too_few_questions_for_a_split() -> None:
    env = make("count_bits", config={"min_n": 7, "max_n": 7})  # one question
    where = home("How many 1 bits are there in the binary representation of the number 7?")
    assert env.problem(where, 0).answer == "3"
    (other,) = set(env.splits) - {where}
    with pytest.raises(ValueError, match=rf"no {other} problem of .* in 200 draws"):
        env.problem(other, 0)


# ---- reading ----


@pytest.mark.parametrize(
    ("text", "answer", "num_steps"),
    [
        ("a\nThus, the answer is 5.", "5", 1),
        ("a\n\nb <answer>5</answer>", "5", 2),
        ("a\n<answer>\n1 2\n3 4\n</answer>\n", "1 2 / 3 4", 1),
        ("a\n\n\\boxed{5}", "5", 1),
        ("Thus, the answer is 5.\n<answer>5</answer>", "5", 0),
        ("<think>a</think>\n<answer>\\frac</answer>", "\\frac", 1),
        ("<answer></answer>", "", 0),
        ("5", "5", 0),
        ("\n 5\n", "5", 0),
        ("1 2\n\n3 4\n", "1 2 / 3 4", 0),
        ("a\nThus, the answer is:\n1 2\n3 4.", "1 2 / 3 4", 1),
        ("a\n\n\\boxed{1 2\n\n3 4}", "1 2 / 3 4", 1),
        ("[1,\n 2]", "[1, /  2]", 0),
    ],
)
def test_ways_to_state_an_answer(text: str, answer: str, num_steps: int) -> None:
    trace = make("mini_sudoku").parse(text)
    assert (trace.answer, trace.num_steps, trace.status) == (answer, num_steps, Status.COMPLETE)
    assert all(text[slice(*step.span)].rstrip() == step.text.rstrip() for step in trace.steps)


def test_rows_mean_nothing_where_answers_have_one() -> None:
    assert make("jugs").parse('["fill A",\n "empty A"]').answer == '["fill A", "empty A"]'
    assert make("countdown").parse("6\n3").answer == "6 3", "no division"


REASONING = "First I look at the walls. " * 4


@pytest.mark.parametrize(
    "text",
    [
        f"{REASONING}\n5",
        "<answer>5",
        "5</answer>",
        "</answer>5<answer>",
        "<answer>5</answer><answer>6</answer>",
        "<answer><answer>5</answer>",
        "<answer>5</answer></answer>",
        "<answer>5</answer> or 6",
        "<answer>5 \\boxed{5}",
        "Thus, the answer is 5.\n<answer>6</answer>",
        "Thus, the answer is 5.\nThus, the answer is 6.",
    ],
)
def test_texts_without_an_answer(text: str) -> None:
    env = make("maze")
    trace = env.parse(text)
    assert trace.status is Status.MALFORMED
    assert env.check(env.problem(Split.TRAIN, 0), trace).grade is Grade.MALFORMED


def test_truncated_tags_are_truncated() -> None:
    assert make("maze").parse("<answer>5</answer>", truncated=True).status is Status.TRUNCATED


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "\\boxed{", "<answer></answer>"])
def test_reading_is_linear(piece: str) -> None:
    env = make("maze")
    start = time.thread_time()
    env.parse(piece * (200_000 // len(piece)))
    assert time.thread_time() - start < 2.0  # a twentieth of a second; quadratic time would be minutes


def test_rows_on_one_line_or_as_lines() -> None:
    env = make("sudoku")
    problem = env.problem(Split.TRAIN, 0)
    rows = problem.answer.split(" / ")
    assert len(rows) == 9
    grid = "\n".join(rows)
    for text in (
        f"Thus, the answer is {problem.answer}.",
        f"<answer>{grid}</answer>",
        f"<answer>\n{grid}\n</answer>",
        f"<answer>{problem.answer}</answer>",
    ):
        assert env.check(problem, env.parse(text)).grade is Grade.CORRECT, text
    for text in (f"<answer>{grid[:-1]}</answer>", f"<answer>{' / '.join(rows[::-1])}</answer>"):
        assert env.check(problem, env.parse(text)).grade is Grade.WRONG, text
    assert env.check(problem, env.parse(f"<answer>{grid}\x00</answer>")).grade is Grade.REFUSED


def test_a_slash_is_a_row_break_only_in_answers_with_rows() -> None:
    env = make("countdown")
    problem = next(p for i in range(200) if "/" in (p := env.problem(Split.TRAIN, i)).answer)
    assert grade(env, problem, problem.answer.replace("/", " / ")) is Grade.CORRECT


# ---- layout ----


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("1 2\n3 4", " 1  2 \n\n  3   4"),
        ("1 2\n3 4", "```\n1 2\n3 4\n```"),
        ("1 2\n3 4", "1 2 \\\\ 3 4"),
        ("Sunday", "**Sunday**."),
        ("Sunday", "sunday"),
        ("Yes", "\\text{Yes}"),
        ("Yes", "`yes`"),
        ("He left.", "He left"),
        ("He left.", '"He left."'),
        ("1476", "1,476"),
        ("1476", "$1476.00$"),
        ("-2.50", "-2.5"),
        ("9/20", "\\frac{9}{20}"),
        ("2 × 7", "2 \\times 7"),
        ("A → B", "A \\to B"),
        ("[1,[2,3]]", "[\n 1,\n [2, 3]\n]"),
        ('{"a": [1.0, true]}', '{"a":[1,true]}'),
        ("['85.1', '93']", '["85.1","93"]'),
        ("a, b", "a,b"),
        ("❌✅\n✅❌", "❌ ✅\n✅ ❌"),
    ],
)
def test_layout_makes_no_difference(gold: str, answer: str) -> None:
    assert as_written(gold, answer) == gold


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("1 2\n3 4", "1 2 3 4"),
        ("1 2\n3 4", "1 2\n3 4\n5 6"),
        ("1 2\n3 4", "12\n34"),
        ("Sunday", "Sunday or Monday"),
        ("alice", "Alice"),
        ("1476", "14,76"),
        ("1476", "01476"),
        ("1476", "+1476"),
        ("1476", "1476 days"),
        ("1", "1 / 1"),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1}', '{"a": 2, "a": 1}'),
        ("[1]", "[1, 1]"),
        ("[1]", "[" * 1900),
        ("[1]", "[" * 900 + "1" + "]" * 900),
        ("['1.0']", "['1']"),
        ("a, b", "b, a"),
        ("BB", "B B"),
    ],
)
def test_other_values_are_left_alone(gold: str, answer: str) -> None:
    assert as_written(gold, answer) != gold


def stated_forms(gold: str) -> dict[str, str]:
    """Texts that state the right answer, as models write them."""
    one_line = gold.replace("\n", " / ")
    forms = {
        "bare": gold,
        "bare with a full stop": gold.removesuffix(".") + ".",
        "closing line": f"So.\nThus, the answer is {one_line.removesuffix('.')}.",
        "box": f"So.\n\n\\boxed{{{gold}}}",
        "tags": f"So.\n<answer>\n{gold}\n</answer>",
        "fence": f"```\n{gold}\n```",
        "tags around a fence": f"So.\n<answer>\n```\n{gold}\n```\n</answer>",
    }
    if "{" not in gold and "\\" not in gold:
        forms["text in a box"] = f"So $\\boxed{{\\text{{{gold}}}}}$"
    if "\n" in gold:
        forms["rows after the phrase"] = f"So.\nThus, the answer is:\n{gold}."
        forms["wide columns"] = gold.replace(" ", "   ").replace("\n", "\n\n")
    if gold[0] in "[{" and "'" not in gold:
        forms["pretty-printed JSON"] = f"```json\n{json.dumps(json.loads(gold), indent=2)}\n```"
    return forms


UNUSABLE = ("boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour", *REFUSED)
QUICK = ("mini_sudoku", "jugs", "syllogism", "time_intervals", "knights_knaves", "list_functions")


def check_forms(task: str, num: int) -> None:
    env = make(task)
    for index in range(num):
        problem = env.problem(Split.TRAIN, index)
        gold = env._entry(Split.TRAIN, index).gold
        for name, text in stated_forms(gold).items():
            trace = env.check(problem, env.parse(text))
            assert trace.grade is Grade.CORRECT, (name, text, trace.answer)
            assert trace.num_steps <= 2, (name, text)


@pytest.mark.parametrize("task", QUICK)
def test_right_answers_are_right_in_every_form(task: str) -> None:
    check_forms(task, 4)


@pytest.mark.slow
def test_right_answers_are_right_in_every_form_in_all_tasks() -> None:
    tasks = sorted(set(_generator().call("tasks").value) - {*UNUSABLE})
    assert len(tasks) == 94
    for task in tasks:
        check_forms(task, 3)


def test_reasoning_is_no_bare_answer() -> None:
    env = make("maze")
    trace = env.parse(REASONING)
    assert (trace.status, trace.answer) == (Status.MALFORMED, None)
    assert trace.num_steps == 1


# ---- own scorers ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("(2 + 3) * 4", Grade.CORRECT),
        ("4*(3 + 2)", Grade.CORRECT),
        ("2 * 3 + 4", Grade.WRONG),
        ("20", Grade.WRONG),
        ("5 * 4", Grade.WRONG),
        ("4 * 3 + 4 * 2", Grade.WRONG),
        ("(2 + 3) * 4 = 20", Grade.MALFORMED),
        ("(2 + 3) * 4 # 1", Grade.MALFORMED),
        ("0x0*(2+3+4)+0x14", Grade.MALFORMED),
        ("0x14 # 2 3 4", Grade.MALFORMED),
        ("2**3 * 4", Grade.MALFORMED),
        ("", Grade.MALFORMED),
    ],
)
def test_countdown(answer: str, expected: Grade) -> None:
    judge, needs = OWN["countdown"]
    assert needs == ("numbers", "target")
    assert judge("", {"numbers": [4, 2, 3], "target": 20}, answer) is expected


def test_puzzle24_enforces_its_numbers_and_operators() -> None:
    judge, _ = OWN["puzzle24"]
    facts = {"numbers": [8, 3, 1, 1], "operators": ["+", "-", "*"]}
    assert judge("", facts, "8*3*1*1") is Grade.CORRECT
    assert judge("", facts, "8*3*1/1") is Grade.MALFORMED
    assert judge("", facts, "6*4*1*1") is Grade.WRONG


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q _", Grade.CORRECT),
        ("_ _ Q _\nQ _ _ _\n_ _ _ Q\n_ Q _ _", Grade.WRONG),  # the given queen has moved
        ("_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ _ _", Grade.WRONG),
        ("_ Q _ _\n_ _ _ Q\n_ _ Q _\nQ _ _ _", Grade.WRONG),  # on one diagonal
        ("_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q Q", Grade.WRONG),
        ("_ Q _ _\n_ _ _ Q\nQ _ _ _", Grade.MALFORMED),
        ("_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q x", Grade.MALFORMED),
        ("[r.split(' ') for r in valid_solutions[0].split('\\n')]", Grade.MALFORMED),
        ("", Grade.MALFORMED),
    ],
)
def test_n_queens(answer: str, expected: Grade) -> None:
    puzzle = [row.split() for row in ("_ Q _ _", "_ _ _ _", "_ _ _ _", "_ _ _ _")]
    assert OWN["n_queens"][0]("", {"puzzle": puzzle}, answer) is expected


def test_rows() -> None:
    judge, _ = OWN["binary_matrix"]
    assert judge("0 1\n1 2", {}, "0  1\n1 2 ") is Grade.CORRECT
    for wrong in ("0 1 1 2", "[[0, 1], [1, 2]]", "0 1\n1 2\n0", "0 1\n1 3", ""):
        assert judge("0 1\n1 2", {}, wrong) is Grade.WRONG, wrong


def test_sums() -> None:
    x2, xy = (("x", 2),), (("x", 1), ("y", 1))
    assert read_sum("3*x**2/2 - x*y + 1") == {x2: Fraction(3, 2), xy: Fraction(-1), (): Fraction(1)}
    assert read_sum("-1/2*x^2") == {x2: Fraction(-1, 2)}
    assert read_sum("y*x") == {xy: Fraction(1)}
    assert read_sum("0") == {}
    bad = (
        "",
        " ",
        "x + x",
        "2*3",
        "x*x",
        "(x + 1)*x",
        "x y",
        "2x",
        "+x",
        "x +",
        "x + + x",
        "x**",
        "x**y",
        "x**-1",
        "x**1000",
        "x/0",
        "1/2/3",
        "1/x",
        "x.",
        "9" * 41,
        "0x10",
        "1e5",
        "x²",
        "*x",
        "x*",
    )
    for text in bad:
        assert read_sum(text) is None, text


def test_antiderivatives_are_equal_up_to_a_constant() -> None:
    judge, _ = OWN["simple_integration"]
    gold = "7*X**9/3 - X**4/2 + 31*X/8 + C"
    for right in (gold, "C - 1/2*X**4 + 31/8*X + 7/3*X**9", "7*X**9/3 - X**4/2 + 31*X/8", gold + " + 4"):
        assert judge(gold, {}, right) is Grade.CORRECT, right
    for wrong in ("C", "7*X**9/3 - X**4/2 + 31*X/8 + D", "7*x**9/3 - x**4/2 + 31*x/8 + C", "0"):
        assert judge(gold, {}, wrong) is Grade.WRONG, wrong
    assert judge(gold, {}, "integrate(x)") is Grade.MALFORMED


def test_products_must_be_multiplied_out() -> None:
    judge, _ = OWN["polynomial_multiplication"]
    assert judge("x**2 - 1", {}, "-1 + x**2") is Grade.CORRECT
    assert judge("x**2 - 1", {}, "x**2 + 1") is Grade.WRONG
    assert judge("x**2 - 1", {}, "(x - 1)*(x + 1)") is Grade.MALFORMED


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("1 < 2\n    \n2   1", Grade.CORRECT),
        ("1 2\n2 1", Grade.CORRECT),
        ("1 2\n1 2", Grade.WRONG),
        ("1 2\n2 1\n2 1", Grade.WRONG),
        ("1 2 2 1", Grade.WRONG),
        ("1 2\n2 1 is it", Grade.MALFORMED),
    ],
)
def test_futoshiki(answer: str, expected: Grade) -> None:
    assert OWN["futoshiki"][0]("1 < 2\n    ∧\n2   1", {}, answer) is expected


# ---- scorers that are too kind ----


@pytest.mark.parametrize(
    ("task", "gold", "right", "wrong"),
    [
        (
            "time_intervals",
            "99 days",
            ["99 days", "99", "99 Days"],
            ["99 weeks", "99 days ago", "-99 days", "99 h"],
        ),
        ("time_intervals", "02:05", ["2:05"], ["-02:05", "02:05:00", "02:05 h", "02:05 days"]),
        ("time_intervals", "7 days, 08:35:00", ["7 days, 8:35:00"], ["7 weeks, 08:35:00", "7 days, 08:35"]),
        (
            "knights_knaves",
            "Ann is a knight, and Bo is a knave.",
            ["Bo is a knave and Ann is a knight", "Ann is a knight. Bo is a knave."],
            ["not Ann is a knight, and Bo is a knave", "Ann is a knight, and Bo is a knave, or 1"],
        ),
        (
            "fraction_simplification",
            "1/2",
            ["$1/2$", "\\dfrac{1}{2}"],
            ["$\\frac{1}{2}$ weeks", "1/2 or 3/4", "1/2/3"],
        ),
        ("quantum_lock", "A → B", ["A -> B", "a,b"], ["-A → B", "A →", "A → B!"]),
        (
            "tower_of_hanoi",
            "",
            ["Move disk 1 from Peg 1 to Peg 3"],
            ["-Move disk 1 from Peg 1 to Peg 3", "not Move disk"],
        ),
        ("bitwise_arithmetic", "0xff", ["0xFF"], ["255", "0b11111111", "0o377"]),
        ("number_format", "1000.25", ["1,000.25", "1.00025e3"], ["1000.259", "1,0,00.25", "nan", "1e999"]),
        ("chain_sum", "9661", ["+9661"], ["96,61"]),
        ("codeio", '{"a": 1}', ['{"a": 1}'], ['{"a": true}', '{"a": 2, "a": 1}']),
        ("jugs", "", ['["fill A", "pour A->B"]'], ['["fill A or B"]', '{"fill A": 1}', '"fill A"', "[" * 900]),
        ("palindrome_partitioning", "", ['[["a", "a"]]'], ['["aa"]', '[[["a"]]]', "aa"]),
        ("calendar_arithmetic", "-1", ["-1"], ["5", "1"]),
    ],
)
def test_stricter_checks(task: str, gold: str, right: list[str], wrong: list[str]) -> None:
    for answer in right:
        assert STRICTER[task](gold, as_written(gold, answer)), answer
    for answer in wrong:
        assert not STRICTER[task](gold, as_written(gold, answer)), answer


def unearned(task: str, problem: Problem, seed: int) -> list[str]:
    """Wrong answers to which reasoning-gym 0.1.25 gives the full score, or that took over its scorers."""
    gold = problem.answer
    numbers = re.findall("[0-9]+", problem.question.partition("\n\n")[0]) or ["1"]
    number = float(gold) if re.fullmatch("[0-9]+[.]?[0-9]*", gold) else 0.0
    steal = "setattr(type(self),'score_answer',lambda s,a,e:1.0)"
    return {
        "number_sorting": [
            json.dumps([float("nan")] * len(gold.split(","))),
            json.dumps([str(float(n) + 0.5) for n in re.findall("-?[0-9]+[.]?[0-9]*", gold)]),
        ],
        "complex_arithmetic": ["nan", "nan+nanj", "(nan)", "inf"],
        "countdown": [
            f"0x0*({'+'.join(numbers)})+{hex(int(numbers[-1]))}",
            f"{hex(500)} # {' '.join(numbers)}",
        ],
        "puzzle24": ["8*3*1*1"] if sorted(re.findall("[0-9]+", gold)) != ["1", "1", "3", "8"] else [],
        "game_of_life_halting": ["any text", "False", "True"],
        "binary_matrix": [steal, "oracle_answer", "entry['metadata']['solution']"],
        "spiral_matrix": [steal, "entry['metadata']['solution']"],
        "n_queens": [steal, r"[r.split(' ') for r in valid_solutions[0].split('\n')]"],
        "string_insertion": [steal, "list(oracle_answer)"],
        "gsm_symbolic": [f"-{gold}", f"{gold} or 1", f"{gold}, {seed}"],
        "advanced_geometry": [f"{gold}, 1", f"{gold} or 1", f"nan, {gold}"],
        "word_sorting": [f"{gold}, and, more"],
        "letter_jumble": [f"{gold} and more"],
        "game_of_life": [gold.replace("]]", "],[1]]"), gold.replace("],", ",1],")],
        "polynomial_equations": [f"{gold}, or nothing", "none"],
        "fraction_simplification": [f"{gold} or 1/2"],
        "coin_flip": ["0"],
        "calendar_arithmetic": ["5", "-5"] if gold == "-1" else ["Friday", "Yes", "31"],
        "codeio": [gold.replace("true", "1").replace("false", "0"), f"{gold[:-1]}{gold[-1]}x"],
        "jugs": [gold.replace('A"', 'A or not"'), "[]"],
        "knights_knaves": [f"not {gold}", f"{gold} Or not.", f"{gold} {gold}"],
        "number_format": [f"{number + 0.005}", f"{number - 0.001}", f"{gold[0]},{gold[1:]}"],
        "quantum_lock": [f"-{gold}", f"{gold} → "],
        "time_intervals": [f"{gold} weeks", f"-{gold}", gold.replace("days", "weeks"), f"{gold}:00"],
        "tower_of_hanoi": [f"not {gold}", gold.replace("to Peg", "or maybe to Peg")],
    }[task]


TOO_KIND = (
    "advanced_geometry",
    "binary_matrix",
    "calendar_arithmetic",
    "codeio",
    "coin_flip",
    "complex_arithmetic",
    "countdown",
    "fraction_simplification",
    "game_of_life",
    "game_of_life_halting",
    "gsm_symbolic",
    "jugs",
    "knights_knaves",
    "letter_jumble",
    "n_queens",
    "number_format",
    "number_sorting",
    "polynomial_equations",
    "puzzle24",
    "quantum_lock",
    "spiral_matrix",
    "string_insertion",
    "time_intervals",
    "tower_of_hanoi",
    "word_sorting",
)


@pytest.mark.slow
@pytest.mark.parametrize("task", TOO_KIND)
def test_answers_that_reasoning_gym_wrongly_accepts(task: str) -> None:
    env, tried = make(task), 0
    for index in range(20):
        problem = env.problem(Split.TRAIN, index)
        assert grade(env, problem, problem.answer) is Grade.CORRECT
        for answer in unearned(task, problem, index):
            if answer != problem.answer:
                tried += 1
                assert grade(env, problem, answer) is not Grade.CORRECT, (problem.answer, answer)
        assert grade(env, problem, problem.answer) is Grade.CORRECT
    assert tried >= 15


@pytest.mark.parametrize(
    "value", [True, 1, 1.5, -0.5, "1.0", [1.0], {"score": 1.0}, float("inf"), float("nan")]
)
def test_a_faked_reply_is_not_right(value: object) -> None:
    assert _grade_of(Reply(status=ReplyStatus.OK, value=value, detail="")) is Grade.CRASH


def test_grades_of_replies() -> None:
    def grade_of(status: ReplyStatus, value: object = None) -> Grade:
        return _grade_of(Reply(status=status, value=value, detail=""))

    assert grade_of(ReplyStatus.OK, 1.0) is Grade.CORRECT
    assert grade_of(ReplyStatus.OK, 0.999999) is Grade.WRONG
    assert grade_of(ReplyStatus.OK) is Grade.MALFORMED
    assert grade_of(ReplyStatus.TIMEOUT) is Grade.TIMEOUT
    assert grade_of(ReplyStatus.CRASH) is Grade.CRASH


def test_a_scorer_that_raises_gives_a_grade() -> None:
    env = make("prime_factorization")
    assert grade(env, env.problem(Split.TRAIN, 0), "none") is Grade.MALFORMED


def test_partial_scores_are_wrong() -> None:
    env = make("maze")
    problem = env.problem(Split.TRAIN, 0)
    assert grade(env, problem, f"{problem.answer}!") is Grade.WRONG


def test_a_problem_of_other_settings() -> None:
    one, two = make("maze"), make("maze", seed=1)
    with pytest.raises(GraderError, match="is a problem of other settings"):
        two.grade_answer(one.problem(Split.TRAIN, 0), "5")


def test_a_problem_that_cannot_be_generated_again_gives_no_grade() -> None:
    env = make("maze")
    problem = env.problem(Split.TRAIN, 0)
    env.settings.config["min_dist"] = 10**9  # simulates a machine on which the entry cannot be generated
    env._entry.cache_clear()
    with pytest.raises(GraderError, match="cannot be generated again"):
        env.grade_answer(problem, "5")


def test_a_failing_sandbox_gives_no_grade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env = make("maze", timeout_s=1.75)
    problem = env.problem(Split.TRAIN, 0)
    monkeypatch.setattr(envs.tasks.reasoning_gym.task, "OPERATIONS", tmp_path / "none.py")
    envs.tasks.reasoning_gym.task._scorer.cache_clear()
    try:
        with pytest.raises(GraderError):
            env.grade_answer(problem, "no answer of this problem")
    finally:
        envs.tasks.reasoning_gym.task._scorer.cache_clear()


# ---- hostile text ----


GRACE_S = 10.0  # a busy machine may be slow for a while


def replay(preset: str) -> dict[str, Any]:
    """Run in a child: the collected answers as answer, in tags, as a step and as the whole completion."""
    env = ReasoningGym({"preset": preset})
    failures: list[str] = []
    grades: Counter[str] = Counter()
    worst_s = 0.0
    for split in env.splits:
        problem = env.problem(split, 0)
        assert grade(env, problem, problem.answer) is Grade.CORRECT
        for entry in hostile.corpus():
            text = entry["text"]
            for completion in (
                render_trace(("So.",), text),
                f"So.\n<answer>{text}</answer>",
                render_trace((text,), "?"),
                text,
            ):
                start = time.perf_counter()
                try:
                    trace = env.check(problem, env.parse(completion))
                except BaseException as error:
                    failures.append(f"{entry['id']}: raised {type(error).__name__}")
                    continue
                elapsed = time.perf_counter() - start
                worst_s = max(worst_s, elapsed)
                grades[str(trace.grade)] += 1
                if elapsed > env.settings.timeout_s + GRACE_S:
                    failures.append(f"{entry['id']}: took {elapsed:.2f} s")
                # One text ends in a box with 1, which is right if the answer is 1.
                if trace.grade is Grade.CORRECT and trace.answer != problem.answer:
                    failures.append(f"{entry['id']}: graded correct")
        if grade(env, problem, problem.answer) is not Grade.CORRECT:
            failures.append(f"{split}: the right answer is not right any more")
    return {"failures": failures, "grades": grades, "worst_s": worst_s}


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_hostile_answers_have_no_effect(preset: str) -> None:
    canaries = [Path(entry["canary"]) for entry in hostile.corpus() if entry.get("canary")]
    assert not [path for path in canaries if path.exists()]
    here = "tests.envs.tasks.test_reasoning_gym"
    code = f"import json; from {here} import replay; print(json.dumps(replay({preset!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    print(preset, found)
    assert found["failures"] == []
    assert sum(found["grades"].values()) == 8 * len(hostile.corpus())
    assert not [path for path in canaries if path.exists()]
