"""Problems from a user's data: layouts, splits, and messages about invalid data."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from envs import Grade, Split, Status, Verdict, make_env, make_example
from envs.tasks.math.task import EXAMPLE, MathProblems


def write(path: Path, *rows: Mapping[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def plain(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(start, start + count)]


# ---- splits ----


def test_named_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    env = make_env(
        "math",
        {
            "train": write(tmp_path / "train.jsonl", *plain(20)),
            "id": write(tmp_path / "id.jsonl", *plain(5, start=20)),
            "ood_hard": write(tmp_path / "hard.jsonl", *plain(3, start=500)),
        },
    )
    assert env.splits == (Split.TRAIN, Split.ID, Split.OOD_HARD)
    assert [env.num_problems(split) for split in env.splits] == [20, 5, 3]
    assert [env.problem(Split.ID, index).answer for index in range(6)] == ["40", "42", "44", "46", "48", "40"]
    with pytest.raises(
        ValueError, match=r"^no data for ood_easy; set env\.settings\.ood_easy, or leave it out"
    ):
        env.problem(Split.OOD_EASY, 0)


def test_train_is_shuffled_for_each_pass_and_by_its_seed(tmp_path: Path) -> None:
    settings = {
        "train": write(tmp_path / "train.jsonl", *plain(20)),
        "id": write(tmp_path / "id.jsonl", *plain(5, start=20)),
    }
    env, again, other = (make_env("math", {**settings, "seed": seed}) for seed in (0, 0, 1))

    def epoch(env: Any, number: int) -> list[str]:
        return [env.problem(Split.TRAIN, 20 * number + place).answer for place in range(20)]

    first, second = epoch(env, 0), epoch(env, 1)
    assert sorted(first) == sorted(second) and len(set(first)) == 20
    assert first != second and first != epoch(other, 0)
    assert epoch(again, 1) == second  # it does not depend on earlier requests
    assert env.problem(Split.TRAIN, 3) == again.problem(Split.TRAIN, 3)


def test_without_an_id_file_one_question_in_four_is_held_out() -> None:
    env = make_example("math")
    train, held_out = env.num_problems(Split.TRAIN), env.num_problems(Split.ID)
    assert train is not None and held_out is not None
    assert train + held_out == 200 and 25 <= held_out <= 75
    questions = {env.problem(Split.TRAIN, index).question for index in range(train)}
    assert not questions & {env.problem(Split.ID, index).question for index in range(held_out)}


# ---- reading and judging completions ----


def example_problem() -> tuple[MathProblems, Any]:
    env = MathProblems(MathProblems.example)
    return env, env.problem(Split.ID, 0)


def test_reference_solutions_are_right_and_counted() -> None:
    env, problem = example_problem()
    lines = env.full_trace(problem)
    trace = env.check(problem, env.parse(env.demonstrate(lines, problem.answer)))
    assert trace.passed and not trace.verified and trace.num_steps == len(lines) == problem.num_full_steps
    assert {step.verdict for step in trace.steps} == {Verdict.UNCHECKED}
    skipped = env.skipped_trace(problem, "by_hand", random.Random(0))
    assert skipped is not None and env.count_steps(skipped) < len(lines)


@pytest.mark.parametrize(
    ("text", "status", "grade"),
    [
        ("Some thought.\nThus, the answer is {gold}.", Status.COMPLETE, Grade.CORRECT),
        ("So it is \\boxed{{{gold}}}.", Status.COMPLETE, Grade.CORRECT),
        ("First \\boxed{{1}}, no: \\boxed{{{gold}.0}}", Status.COMPLETE, Grade.CORRECT),
        ("So it is \\boxed{{{gold}}} or \\boxed{{1}}.", Status.MALFORMED, Grade.MALFORMED),
        ("\\boxed{{{gold}}}\nThus, the answer is 1.", Status.MALFORMED, Grade.MALFORMED),
        ("\\boxed{{1}}\nThus, the answer is {gold}.", Status.MALFORMED, Grade.MALFORMED),
        (
            "Thus, the answer is 1.\nThus, the answer is 2.\n\\boxed{{{gold}}}",
            Status.MALFORMED,
            Grade.MALFORMED,
        ),
        ("Thus, the answer is {gold}1.", Status.COMPLETE, Grade.WRONG),
        ("Thus, the answer is about {gold} or so.", Status.COMPLETE, Grade.MALFORMED),
        ("Thus, the answer is {gold}\u200b.", Status.COMPLETE, Grade.REFUSED),
        ("It is {gold}.", Status.MALFORMED, Grade.MALFORMED),
        ("\\boxed{{{gold}", Status.MALFORMED, Grade.MALFORMED),
        ("", Status.MALFORMED, Grade.MALFORMED),
    ],
)
def test_places_of_an_answer(text: str, status: Status, grade: Grade) -> None:
    env, problem = example_problem()
    trace = env.check(problem, env.parse(text.format(gold=problem.answer)))
    assert (trace.status, trace.grade) == (status, grade)


def test_a_truncated_text_states_no_answer() -> None:
    env, problem = example_problem()
    trace = env.check(problem, env.parse(f"\\boxed{{{problem.answer}}} and", truncated=True))
    assert (trace.status, trace.grade) == (Status.TRUNCATED, Grade.MALFORMED)


def test_answers_that_need_algebra_go_through_the_worker(tmp_path: Path) -> None:
    row = {"question": "Expand $(x+1)^2$.", "answer": "x^2+2x+1"}
    source, held_out = write(tmp_path / "a.jsonl", row), write(tmp_path / "b.jsonl", *plain(1))
    env = make_env("math", {"train": source, "id": held_out})
    problem = env.problem(Split.TRAIN, 0)
    assert env.grade_answer(problem, "(x+1)(x+1)") is Grade.CORRECT
    assert env.grade_answer(problem, "x^2+1") is Grade.WRONG


def test_tolerance_is_a_setting(tmp_path: Path) -> None:
    source, held_out = (
        write(tmp_path / "a.jsonl", {"question": "pi?", "answer": "3.1416"}),
        write(tmp_path / "b.jsonl", *plain(1)),
    )
    exact = make_env("math", {"train": source, "id": held_out})
    near = make_env("math", {"train": source, "id": held_out, "tolerance": 0.001})
    problem = exact.problem(Split.TRAIN, 0)
    assert exact.grade_answer(problem, "3.14159") is Grade.WRONG
    assert near.grade_answer(problem, "3.14159") is Grade.CORRECT
    assert near.grade_answer(problem, "3.15") is Grade.WRONG


# ---- wrong data ----


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ('{"question": "a", "answer": "1"}\n{oops\n', {}, "a.jsonl row 2: line 2 is not JSON"),
        ("[1, 2]\n", {}, "a.jsonl row 1: a list, not an object with columns"),
        ("\n", {}, "a.jsonl has no rows; it needs at least one problem"),
        (
            '{"ask": "a", "answer": "1"}',
            {},
            ("a.jsonl row 1 has no column 'question', but ask, answer; name the column of the question"),
        ),
        ('{"question": "", "answer": "1"}', {}, "a.jsonl row 1: 'question' is ''; it must be a number or text"),
        (
            '{"question": "a", "answer": true}',
            {},
            ("a.jsonl row 1: 'answer' is True; it must be a number or text"),
        ),
        (
            '{"question": "a", "answer": "so 1"}',
            {"preset": "gsm8k"},
            ("row 1: 'answer' states no answer ('#### 5', "),
        ),
        (
            '{"problem": "a", "solution": "so 1"}',
            {"preset": "math"},
            "row 1: 'solution' states no answer ('#### 5', \\boxed{5} or",
        ),
        (
            '{"question": "a", "answer": "1"}\n{"question": "b", "answer": "\\\\sum k"}',
            {},
            "a.jsonl row 2: the ",
        ),
        ('{"question": "a", "answer": "1\u202e"}', {}, "a.jsonl row 1: the right answer"),
        (
            '{"question": "a", "answer": "1"}\n{"question": "a", "answer": "2"}',
            {},
            "a.jsonl row 2: another answer (2) to the question of ",
        ),
        (
            '{"question": "a", "answer": "1"}',
            {},
            ("a.jsonl has too few questions to split them into train and id: "),
        ),
    ],
)
def test_bad_data_is_named(text: str, settings: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        make_env("math", {"train": str(tmp_path / "a.jsonl"), **settings})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_question_in_two_splits_is_refused(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.jsonl", *plain(5)), write(tmp_path / "b.jsonl", *plain(5, start=4))
    with pytest.raises(
        ValueError, match=r"a\.jsonl row 5: a question that is also in id \(.*b\.jsonl row 1\): 'What is 4"
    ):
        make_env("math", {"train": one, "id": two})


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="train\n  Field required"):
        make_env("math")
    with pytest.raises(ValidationError, match="'gsm8k', 'math', 'svamp'"):
        make_env("math", {"train": str(EXAMPLE), "preset": "gsm"})


def test_data_without_solutions_has_no_full_trace(tmp_path: Path) -> None:
    env = make_env("math", {"train": write(tmp_path / "a.jsonl", *plain(30))})
    with pytest.raises(
        ValueError, match=r"row \d+ has no worked solution to learn from; set warm_start to null"
    ):
        env.full_trace(env.problem(Split.TRAIN, 0))


# ---- traces written by hand ----

PENS = {"question": "Ann has 3 boxes of 4 pens and loses 2. How many are left?", "answer": "10"}
FULL = ["She has 3 * 4 = 12 pens.", "Then 12 - 2 = 10 are left."]
SHORT = ["3 * 4 - 2 = 10 are left."]
DETOUR: dict[str, Any] = {
    "lines": ["She has 3 + 4 = 7 pens.", "Wait, these are boxes of pens.", *FULL],
    "wrong": [0],
}


def with_traces(path: Path, *rows: Mapping[str, Any], **settings: Any) -> MathProblems:
    """The task of some rows in front of plain ones, which are for the id split."""
    held_out = write(path / "id.jsonl", *plain(5))
    return MathProblems(
        {"train": write(path / "train.jsonl", *rows), "id": held_out, "steps": "lines", **settings}
    )


def test_no_demonstration_looks_through_all_rows(tmp_path: Path) -> None:
    """Else a warm start on N rows takes time in N²."""
    env = make_env("math", {"train": write(tmp_path / "rows.jsonl", *plain(20))})
    looked = []

    class Watched(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            looked.append(1)
            return super().__iter__()

    env._items[Split.TRAIN] = Watched(env._items[Split.TRAIN])
    assert [(env.skip_kinds, env.error_kinds) for _ in range(3)] == [((), ())] * 3
    assert len(looked) <= 2


def test_skipped_solutions_and_detours_are_demonstrations(tmp_path: Path) -> None:
    others = ["12 pens less 2 are 10."], ["3 * 4 - 2 is 10"]
    env = with_traces(tmp_path, {**PENS, "solution": FULL, "skipped": [SHORT, *others], "detours": DETOUR})
    assert (env.skip_kinds, env.error_kinds, env.notes) == (("by_hand",), ("by_hand",), ())
    problem, rng = env.problem(Split.TRAIN, 0), random.Random(0)
    assert (env.full_trace(problem), problem.num_full_steps) == (tuple(FULL), 2)
    drawn = {env.skipped_trace(problem, "by_hand", rng) for _ in range(40)}
    assert drawn == {tuple(lines) for lines in (SHORT, *others)}
    found = env.detour_trace(problem, ["by_hand"], rng)
    assert found is not None and (found.lines, found.wrong) == (tuple(DETOUR["lines"]), {0})
    assert env.detour_trace(problem, ["by_hand"] * 2, rng) is None  # it has one wrong turn
    with pytest.raises(ValueError, match=r"unknown error kinds \['up'\]; known: by_hand"):
        env.detour_trace(problem, ["up"], rng)


def test_rows_with_the_same_question_become_one_problem(tmp_path: Path) -> None:
    """Answers may be spelt differently; the solution with the most steps is the full one."""
    spaced = PENS["question"].replace(" and", "  and")
    env = with_traces(
        tmp_path,
        {**PENS, "solution": SHORT},
        {"question": spaced, "answer": "10.0", "solution": FULL},
        {**PENS, "solution": ["In all 12.", "So 10."]},
        PENS,
    )
    problem = env.problem(Split.TRAIN, 0)
    assert env.num_problems(Split.TRAIN) == 1
    assert env.full_trace(problem) == tuple(FULL)
    assert env.skipped_trace(problem, "by_hand", random.Random(0)) == tuple(SHORT)
    assert env.notes == (
        "3 rows repeat a question and are joined with its first row; 1 of their solutions are as long as "
        "another one and not used",
    )


def test_data_without_them_has_no_skip_rules(tmp_path: Path) -> None:
    env = with_traces(tmp_path, {**PENS, "solution": FULL})
    assert (env.skip_kinds, env.error_kinds) == ((), ())
    assert env.skipped_trace(env.problem(Split.TRAIN, 0), "by_hand", random.Random(0)) is None


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"solution": [*FULL, "#### 11"]}, "the solution states the answer '11', the row '10'"),
        ({"solution": [FULL[0], "So 9."]}, "the solution ends without the answer '10': 'So 9.'"),
        (
            {"solution": FULL, "skipped": ["2 + 7 = 9"]},
            "the skipped solution 1 ends without the answer '10': '2 + 7",
        ),
        ({"solution": FULL, "skipped": [FULL]}, "the skipped solution 1 has 2 steps, the full one 2"),
        ({"skipped": [SHORT]}, "skipped solutions without a full one"),
        (
            {"solution": FULL, "detours": {"lines": ["3", "Wait", "4"], "wrong": [0]}},
            "the detour 1 ends without the",
        ),
    ],
)
def test_a_trace_that_does_not_hold_is_refused_or_left_out(row: Any, fault: str, tmp_path: Path) -> None:
    bad, good = {**PENS, **row}, {"question": "1 + 1?", "answer": "2", "solution": ["1 + 1 = 2"]}
    with pytest.raises(ValueError, match=r"^1 of 7 rows are refused: ") as caught:
        with_traces(tmp_path, good, bad)
    assert f"train.jsonl row 2: {fault}" in str(caught.value)
    assert str(caught.value).endswith("Correct them, or leave them out with env.settings.on_bad_rows: skip")
    env = with_traces(tmp_path, good, bad, on_bad_rows="skip")
    assert env.num_problems(Split.TRAIN) == 2  # the row stays
    assert env.notes[0].startswith("left out, 7 problems stay: ") and fault in env.notes[0]
    problem = next(p for p in (env.problem(Split.TRAIN, i) for i in range(2)) if p.answer == "10")
    assert env.skipped_trace(problem, "by_hand", random.Random(0)) is None


# ---- the policy for bad rows ----

BAD = [
    {"question": "a?", "answer": "\\sum k"},
    {"question": "b?", "answer": "9 (m)"},
    {"question": "c?", "answer": "3"},
    {"question": "c?", "answer": "4"},
    {"question": "What is 1 + 1?", "answer": "2"},
    {"question": "", "answer": "2"},
]


def test_all_bad_rows_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        with_traces(tmp_path, *BAD, PENS)
    text = str(caught.value)
    assert text.startswith(
        "5 of 12 rows are refused: a value cannot be read (1), the right answer cannot be graded "
    )
    assert "\n" not in text
    for part in (
        "train.jsonl row 1: the right answer '\\\\sum k' cannot be graded against",
        "train.jsonl row 2: the right answer '9 (m)' is read so that '9' is wrong; write the answer alone",
        "train.jsonl row 4: another answer (4) to the question of ",
        "train.jsonl row 5: a question that is also in id (",
        "train.jsonl row 6: 'question' is ''",
    ):
        assert part in text, part


def test_bad_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    env = with_traces(tmp_path, *BAD, PENS, on_bad_rows="skip")
    assert (env.num_problems(Split.TRAIN), env.num_problems(Split.ID)) == (1, 5)
    (note,) = env.notes
    assert note.startswith("left out, 6 problems stay: a value cannot be read (1), the right answer cannot be")
    assert "two answers to one question (1)" in note and note.endswith("; and 2 more")
    with pytest.raises(ValueError, match=r"^no row can be used: a value cannot be read \(1\)"):
        MathProblems({"train": write(tmp_path / "bad.jsonl", *BAD[:2], BAD[-1]), "on_bad_rows": "skip"})
    with pytest.raises(ValueError, match=r"^no row of train can be used; see env\.settings\.on_bad_rows"):
        with_traces(tmp_path, *BAD, on_bad_rows="skip")


def test_spellings_of_one_answer_do_not_contradict(tmp_path: Path) -> None:
    rows = [{"question": "c?", "answer": answer} for answer in (3, 3.0, "3.0", "6/2", "$3")]
    env = with_traces(tmp_path, *rows)
    assert env.num_problems(Split.TRAIN) == 1 and env.notes[0].startswith("4 rows repeat a question")


def test_rows_can_name_their_splits(tmp_path: Path) -> None:
    splits = ["train", "train", "test", "ood_hard"]
    rows = [{**row, "split": split} for row, split in zip(plain(4), splits, strict=True)]
    env = MathProblems({"train": write(tmp_path / "a.jsonl", *rows)})
    assert env.splits == (Split.TRAIN, Split.ID, Split.OOD_HARD)
    assert [env.num_problems(split) for split in env.splits] == [2, 1, 1]
    assert env.problem(Split.OOD_HARD, 0).answer == "6"


def test_a_change_of_traces_changes_the_fingerprint(tmp_path: Path) -> None:
    row = {**PENS, "solution": FULL}
    prints = {
        with_traces(tmp_path, {**row, **more}).fingerprint(Split.TRAIN)
        for more in ({}, {"skipped": [SHORT]}, {"detours": DETOUR}, {"detours": {**DETOUR, "wrong": [0, 1]}})
    }
    assert len(prints) == 4


def test_equations_are_worked_out_and_levels_choose_rows(tmp_path: Path) -> None:
    rows = [
        {"question": f"{a} and {b} and {c}?", "answer": a + b * c, "equation": f"( {a}.0 + ( {b}.0 * {c}.0 ) )"}
        for a, b, c in ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    ]
    rows += [{"question": f"{a} and {a}?", "answer": 2 * a, "equation": f"( {a} + {a} )"} for a in range(20)]
    task = with_traces(tmp_path, *rows)
    problem = next(p for p in map(partial(task.problem, Split.TRAIN), range(23)) if p.difficulty == 2)
    assert len(task.full_trace(problem)) == problem.num_full_steps == 2
    assert task.bucket(problem) == "level 2" and task.bucket(replace(problem, difficulty=0)) is None
    skipped = task.skipped_trace(problem, "by_hand", random.Random(0))
    assert skipped is not None and len(skipped) == 1
    assert task.check(problem, task.parse(task.demonstrate(skipped, problem.answer))).correct
    hard = with_traces(tmp_path, *rows, id=None, levels=[2, 1])
    assert hard.num_problems(Split.TRAIN) + hard.num_problems(Split.ID) == 23
    easy = with_traces(tmp_path, *rows, id=None, levels=[1])
    assert easy.num_problems(Split.TRAIN) + easy.num_problems(Split.ID) == 20
    assert "3 rows of other levels than 1 are not used" in easy.notes


def test_rows_without_a_solution_are_counted_if_others_have_one(tmp_path: Path) -> None:
    env = with_traces(tmp_path, {**PENS, "solution": FULL}, *plain(3, start=50))
    assert env.notes == ("3 of 4 train questions have no worked solution; a warm start is without them",)
    assert with_traces(tmp_path, *plain(3, start=50)).notes == ()


def test_a_solution_that_is_left_out_still_says_how_many_steps_it_takes(tmp_path: Path) -> None:
    row = {
        "question": "Ada has 4 books and buys 5, 6, 7 and 8, then sells half. How many are left?",
        "answer": 15,
        "solution": "4 + 5 + 6 + 7 + 8 = 30\n30 / 2 = 15",
    }
    task = with_traces(tmp_path, row, check_steps="arithmetic", on_bad_rows="skip")
    problem = task.problem(Split.TRAIN, 0)
    assert problem.num_full_steps == 2
    with pytest.raises(ValueError, match="no worked solution"):
        task.full_trace(problem)


def test_answers_that_no_equation_states_are_counted(tmp_path: Path) -> None:
    rows = [
        {"question": "Which?", "answer": "blue"},
        {"question": "Where?", "answer": "x + 1"},
        *plain(2, start=50),
    ]
    note = (
        "2 of 9 right answers are no numbers: no equation states them, so their completions are never verified"
    )
    assert with_traces(tmp_path, *rows, check_steps="arithmetic").notes == (note,)
    assert with_traces(tmp_path, *rows).notes == ()
    assert with_traces(tmp_path, *plain(2, start=50), check_steps="arithmetic").notes == ()
