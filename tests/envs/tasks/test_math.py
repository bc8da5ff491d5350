"""Problems from a user's data: layouts, splits, and messages about invalid data."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from pydantic import ValidationError

from envs import Grade, Split, Status, Verdict, make_env, make_example
from envs.tasks.math.rows import COLUMNS, Row, read_rows
from envs.tasks.math.task import EXAMPLE, MathProblems

GSM8K = {
    "question": "Ann has 3 boxes of 4 pens and loses 2. How many are left?",
    "answer": "She has 3*4 = <<3*4=12>>12 pens.\nThen 12-2 = <<12-2=10>>10 are left.\n#### 10",
}
MATH = {
    "problem": "What is $\\frac{1}{2} + \\frac{1}{4}$?",
    "solution": "Over 4 it is $2/4 + 1/4$.\n\nSo it is $\\boxed{\\frac{3}{4}}$.",
    "level": "Level 3",
    "type": "Prealgebra",
}


def write(path: Path, *rows: Mapping[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def plain(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(start, start + count)]


# ---- layouts ----


def test_gsm8k(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", GSM8K)
    assert read_rows(source, "gsm8k", COLUMNS["gsm8k"], "lines") == [
        Row(
            where=f"{source} row 1",
            question=GSM8K["question"],
            answer="10",
            lines=("She has 3*4 = 12 pens.", "Then 12-2 = 10 are left."),
            level=0,
        )
    ]


def test_math_takes_the_answer_from_the_box(tmp_path: Path) -> None:
    (row,) = read_rows(write(tmp_path / "a.jsonl", MATH), "math", COLUMNS["math"], "lines")
    assert (row.answer, row.level) == ("\\frac{3}{4}", 3)
    assert row.lines == ("Over 4 it is $2/4 + 1/4$.", "So it is $\\boxed{\\frac{3}{4}}$.")


def test_math_takes_the_answer_column_if_there_is_one(tmp_path: Path) -> None:
    (row,) = read_rows(
        write(tmp_path / "a.jsonl", {**MATH, "answer": "0.75", "level": 2}), "math", COLUMNS["math"], "lines"
    )
    assert (row.answer, row.level) == ("0.75", 2)


def test_columns_can_be_named(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl", *[{"q": row["question"], "gold": int(row["answer"])} for row in plain(30)]
    )
    env = make_env("math", {"train": source, "question": "q", "answer": "gold", "full_steps": 3})
    problem = env.problem(Split.TRAIN, 0)
    assert problem.question.startswith("What is ") and problem.num_full_steps == 3


def to_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).to_parquet(path / "a.parquet")
    return str(path / "a.parquet")


def to_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).to_csv(path / "a.csv")
    return str(path / "a.csv")


def to_folder(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    datasets.Dataset.from_list(list(rows)).save_to_disk(path / "saved")
    return str(path / "saved")


def to_split(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    table = datasets.Dataset.from_list(list(rows))
    datasets.DatasetDict(train=table, test=table.select([0])).save_to_disk(path / "both")
    return f"{path / 'both'}:train"


@pytest.mark.parametrize("save", [to_parquet, to_csv, to_folder, to_split])
def test_files_written_by_datasets_are_read(
    save: Callable[[Sequence[Mapping[str, Any]], Path], str], tmp_path: Path
) -> None:
    rows = read_rows(save(plain(5), tmp_path), None, COLUMNS[None], "lines")
    assert [(row.question, row.answer) for row in rows] == [(r["question"], r["answer"]) for r in plain(5)]


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
    assert env.skipped_trace(problem, "any", random.Random(0)) is None


@pytest.mark.parametrize(
    ("text", "status", "grade"),
    [
        ("Some thought.\nThus, the answer is {gold}.", Status.COMPLETE, Grade.CORRECT),
        ("So it is \\boxed{{{gold}}}.", Status.COMPLETE, Grade.CORRECT),
        ("First \\boxed{{1}}, no: \\boxed{{{gold}.0}}", Status.COMPLETE, Grade.CORRECT),
        ("So it is \\boxed{{{gold}}} or \\boxed{{1}}.", Status.COMPLETE, Grade.WRONG),
        ("\\boxed{{{gold}}}\nThus, the answer is 1.", Status.COMPLETE, Grade.WRONG),
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
    ("name", "text", "line"),
    [
        ("a.jsonl", '{"question": "a", "answer": "1"}\n{"question": "caf\u00e9", "answer": "2"}\n', 2),
        ("a.csv", "question,answer\na,1\nb,2\ncaf\u00e9,3\n", 4),
    ],
)
def test_another_encoding_names_file_and_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("cp1252"))
    column = text.split("\n")[line - 1].index("\u00e9") + 1
    with pytest.raises(ValueError) as caught:
        make_env("math", {"train": str(path)})
    assert str(caught.value).startswith(
        f"{path} line {line} is not UTF-8 (byte 0xe9 at column {column}); save the file as UTF-8"
    )


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ('{"question": "a", "answer": "1"}\n{oops\n', {}, "a.jsonl line 2 is not JSON"),
        ("[1, 2]\n", {}, "a.jsonl line 1 is a list; each line must be an object"),
        ("\n", {}, "a.jsonl has no rows; it needs at least one problem"),
        (
            '{"ask": "a", "answer": "1"}',
            {},
            ("a.jsonl row 1 has no column 'question', but ask, answer; name the right one in"),
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
            ("row 1: 'answer' has no '####'; preset gsm8k expects it"),
        ),
        (
            '{"problem": "a", "solution": "so 1"}',
            {"preset": "math"},
            "row 1: 'solution' has no \\boxed{}, and there is no column",
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
            "a.jsonl row 2 has another answer to the question of ",
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
        ValueError, match=r"b\.jsonl row 1 has a question that is also in train \(.*a\.jsonl row 5\); remove it"
    ):
        make_env("math", {"train": one, "id": two})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.jsonl", "nowhere.jsonl is neither a file nor a folder"),
        ("notes.txt", "notes.txt ends in '.txt'; give a file with .jsonl"),
        ("a.jsonl:train", "a.jsonl:train: only a folder has splits; leave ':train' out"),
        ("empty", "empty is not a folder saved by datasets"),
        ("both", "both has the splits train, test; name one, as in '"),
        ("both:dev", "both has the splits train, test; name one, as in '"),
        ("saved:train", "saved has no splits; leave ':train' out"),
        ("broken.parquet", "broken.parquet cannot be read"),
    ],
)
def test_missing_sources(source: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *plain(3))
    for name in ("notes.txt", "broken.parquet"):
        (tmp_path / name).write_text("no")
    (tmp_path / "empty").mkdir()
    to_split(plain(3), tmp_path)
    to_folder(plain(3), tmp_path)
    with pytest.raises(ValueError) as caught:
        read_rows(str(tmp_path / source), None, COLUMNS[None], "lines")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="train\n  Field required"):
        make_env("math")
    with pytest.raises(ValidationError, match="'gsm8k' or 'math'"):
        make_env("math", {"train": str(EXAMPLE), "preset": "gsm"})


def test_data_without_solutions_has_no_full_trace(tmp_path: Path) -> None:
    env = make_env("math", {"train": write(tmp_path / "a.jsonl", *plain(30))})
    with pytest.raises(
        ValueError, match=r"row \d+ has no worked solution to learn from; set warm_start to null"
    ):
        env.full_trace(env.problem(Split.TRAIN, 0))
