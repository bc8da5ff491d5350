"""Tasks that read files in the released layout: problems and traces, faults, files beside drawn splits."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from configs.schema.config import WarmStartConfig
from envs import Env, Split, make_env
from envs.check.contract import check_env
from envs.data.report import BadRowsError
from envs.released.env import ReleasedEnv
from envs.tasks.addition import Addition
from envs.tasks.algebra.task import Algebra
from rl.sft.examples import describe_mix, make_examples
from tests.kit.released import ADDITION, ALGEBRA, ROWS, SLIP, write_rows


def train_problems(env: Env[Any]) -> dict[str, Any]:
    """The problems of one pass over train, by question."""
    size = env.num_problems(Split.TRAIN)
    assert size is not None
    return {problem.question: problem for problem in (env.problem(Split.TRAIN, i) for i in range(size))}


def from_file(tmp_path: Path, task: str, rows: list[dict[str, Any]], **settings: Any) -> Env[Any]:
    return make_env(task, {"files": {"train": write_rows(tmp_path / "rows.jsonl", rows)}, **settings})


def test_problems_and_traces_are_those_of_the_file(tmp_path: Path) -> None:
    env = from_file(tmp_path, "addition", ADDITION)
    problems = train_problems(env)
    assert {question: (one.answer, one.num_full_steps) for question, one in problems.items()} == {
        "Add 47 and 85": ("132", 3),
        "Add 305 and 2": ("307", 3),
        "Add 3 and 4": ("7", 1),
    }
    assert env.skip_kinds == ("by_hand", "random_pair", "low_pair", "high_pair")
    rng = random.Random(0)
    merged = env.skipped_trace(problems["Add 47 and 85"], "by_hand", rng)
    assert merged == ("1. 47 + 85 + 0 = 132, write 32, carry 1", "2. carry 1, write 1")
    # The file has only a skipped version of this one: the full trace is the task's own.
    alone = problems["Add 305 and 2"]
    assert env.skipped_trace(alone, "by_hand", rng) == (
        "1. 5 + 2 + 0 = 7, write 07, carry 0",
        "2. 3 + 0 + 0 = 3, write 3, carry 0",
    )
    assert env.full_trace(alone)[1] == "2. 0 + 0 + 0 = 0, write 0, carry 0"
    assert env.skipped_trace(problems["Add 3 and 4"], "by_hand", rng) is None


def test_an_equation_keeps_the_lines_and_the_answer_of_the_file(tmp_path: Path) -> None:
    env = from_file(tmp_path, "algebra", ALGEBRA)
    problem = train_problems(env)["♥ ⊘ ♣ ⊕ ♠ → ♦"]
    assert env.full_trace(problem) == ("♥ ⊘ ♣ → ♦ ⊖ ♠", "♥ → ♦ ⊗ ♣ ⊖ ♠ ⊗ ♣")
    assert problem.answer == "♥ → ♦ ⊗ ♣ ⊖ ♠ ⊗ ♣"
    assert Algebra().write_full(problem)[-1] == "♥ → ( ♦ ⊖ ♠ ) ⊗ ♣"  # ours does not multiply out
    assert env.skip_kinds == ("any_pair",)  # no version in the file is skipped


@pytest.mark.parametrize("task", ROWS)
def test_the_contract_holds_with_files_for_some_splits(task: str, tmp_path: Path) -> None:
    for name in ("train", "ood_hard"):
        rows = ROWS[task][: len(ROWS[task]) - 1] if name == "train" else ROWS[task][-1:]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    if task == "directional":  # both rows are one problem
        write_rows(tmp_path / "ood_hard.jsonl", [])
    files = {"train": str(tmp_path / "train.jsonl")}
    if task != "directional":
        files["ood_hard"] = str(tmp_path / "ood_hard.jsonl")
    env = make_env(task, {"files": files})
    report = check_env(env, num_problems=15)
    sizes = [env.num_problems(split) for split in Split]
    assert sizes[1:3] == [None, None]
    assert report.num_problems == sum(15 if size is None else size for size in sizes)


def test_no_question_of_a_file_is_drawn(tmp_path: Path) -> None:
    """Half of the 100 sums of two digits are in the train file: id is drawn from the others."""
    rows = [{"prompt": f"Question: {a} + {b}", "answer": a + b} for a in range(5) for b in range(10)]
    env = from_file(tmp_path, "addition", rows, **{"train": ["1_1"]})
    drawn = {env.problem(Split.ID, index).question for index in range(300)}
    assert drawn and not drawn & set(train_problems(env))
    plain = Addition({"train": ["1_1"]})
    assert drawn < {plain.problem(Split.ID, index).question for index in range(300)}


def test_a_held_out_question_leaves_train(tmp_path: Path) -> None:
    train, held = (
        write_rows(tmp_path / "train.jsonl", ADDITION),
        write_rows(tmp_path / "id.jsonl", ADDITION[:1]),
    )
    settings = {"files": {"train": train, "id": held}}
    with pytest.raises(
        BadRowsError, match=r"2 of 5 rows are refused: a question in two splits \(2\): .* row 1: "
    ):
        make_env("addition", settings)
    env = make_env("addition", {**settings, "on_bad_rows": "skip"})
    assert "Add 47 and 85" not in train_problems(env)
    assert env.problem(Split.ID, 0).question == env.problem(Split.ID, 1).question == "Add 47 and 85"


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    (
        "addition",
        ADDITION[3] | {"prompt": "What is 3 + 4?"},
        "the question 'What is 3 + 4?' is not worded like",
    ),
    ("addition", ADDITION[3] | {"prompt": "Question: 03 + 4"}, "'Add 03 and 4' is no sum of two integers"),
    ("addition", ADDITION[3] | {"answer": 8}, "the answer is '8', but it should be '7'"),
    ("addition", {"prompt": "Question: 3 + 4"}, "no field 'answer' with a text, but prompt"),
    ("addition", {"answer": 7}, "no field 'question' or 'prompt' with a text, but answer"),
    ("addition", ADDITION[3] | {"step_num": 2}, "it has 1 steps, and the row says 2"),
    (
        "addition",
        ADDITION[3] | {"completion": "3 + 4 = 7\nThus, the answer is 7."},
        "'3 + 4 = 7' is not worded",
    ),
    ("addition", ADDITION[3] | {"completion": "1."}, "no last line 'Thus, the answer is …'"),
    (
        "addition",
        ADDITION[3] | {"completion": ADDITION[3]["completion"].replace("write down 7", "write down 8")},
        "written part should be 7",
    ),
    (
        "addition",
        ADDITION[3] | {"completion": ADDITION[3]["completion"].replace("is 7", "is 8")},
        "states the answer '8', the row '7'",
    ),
    ("addition", ADDITION[3] | {"id": "1_1/2_skip"}, "the skipped trace has 1 steps, the full one 1"),
    ("algebra", ALGEBRA[0] | {"question": "❤ ♪ ◯ ↔ ♏"}, "'♥ ⊘ ○ → ♠' has no solution: it divides by zero"),
    ("algebra", ALGEBRA[0] | {"question": "❤ ↔ ♏"}, "'♥ → ♠' is solved already"),
    ("algebra", ALGEBRA[0] | {"question": "x = 2"}, "'x = 2' has 'x', which is no symbol of the data"),
    ("algebra", ALGEBRA[0] | {"steps": [1]}, "a step is '1', not a text"),
    (
        "directional",
        ROWS["directional"][0] | {"answer": "Nowhere"},
        "the answer is 'nowhere', but it should be",
    ),
]


@pytest.mark.parametrize(("task", "row", "reason"), FAULTS)
def test_a_fault_is_named_with_file_and_row(
    task: str, row: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    good = ROWS[task][-1]
    file = write_rows(tmp_path / "rows.jsonl", [good, row])
    with pytest.raises(BadRowsError) as refused:
        make_env(task, {"files": {"train": file}})
    assert "1 of 2 rows are refused" in str(refused.value)
    assert f"{file} row 2: " in str(refused.value)
    assert reason in str(refused.value)
    env = make_env(task, {"files": {"train": file}, "on_bad_rows": "skip"})
    assert len(env.notes) >= 1 and reason in env.notes[-1]
    assert env.num_problems(Split.TRAIN) in (1, 2)


def test_a_wrong_carry_in_costs_the_trace_and_is_no_fault(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "ood.jsonl", [SLIP])
    env = make_env("addition", {"files": {"ood_hard": file}})
    problem = env.problem(Split.OOD_HARD, 0)
    assert (problem.question, problem.answer) == ("Add 28 and 35", "63")
    assert env.full_trace(problem)[1] == "2. 2 + 3 + 1 = 6, write 6, carry 0"
    assert env.notes == (
        "traces that print another carry into their columns than there is, whose problems have full traces of "
        "our own: 1",
    )
    wrong_sum = SLIP | {"completion": SLIP["completion"].replace("= 6 (write down 6", "= 5 (write down 5")}
    with pytest.raises(BadRowsError, match=r"row 1: the solution is not verified: 2\. 2 "):
        make_env("addition", {"files": {"ood_hard": write_rows(tmp_path / "bad.jsonl", [wrong_sum])}})


def test_the_warm_start_draws_the_files_skipped_traces(tmp_path: Path) -> None:
    env = from_file(tmp_path, "addition", ADDITION)
    config = WarmStartConfig(updates=1, num_problems=3, skipped_frac=1.0)
    examples = make_examples(env, config, num_problems=3, seed=0)
    texts = {example.problem.question: example.text.split("\n") for example in examples}
    assert [len(texts[q]) - 1 for q in ("Add 47 and 85", "Add 305 and 2", "Add 3 and 4")] == [2, 2, 1]
    assert describe_mix(examples).startswith("3 traces: 1 full, 2 with a step skipped; 1 of 3 ")


def test_copies_and_fingerprints(tmp_path: Path) -> None:
    env = from_file(tmp_path, "addition", ADDITION)
    copy = pickle.loads(pickle.dumps(env))
    assert isinstance(copy, ReleasedEnv)
    assert [copy.problem(Split.TRAIN, i) for i in range(9)] == [env.problem(Split.TRAIN, i) for i in range(9)]
    assert copy.skip_kinds == env.skip_kinds and copy.data_report.rows == ()
    without = from_file(tmp_path, "addition", [row for row in ADDITION if row["id"] != "2_2/0_skip"])
    assert env.fingerprint(Split.TRAIN) != without.fingerprint(Split.TRAIN)
    assert env.fingerprint(Split.OOD_HARD) == Addition().fingerprint(Split.OOD_HARD)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "names no file; give one for train, id, ood_easy, ood_hard"),
        ({"test": "a.jsonl"}, "test"),
        ({"train": 3}, "train"),
    ],
)
def test_wrong_settings(files: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Addition({"files": files})


def test_a_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is neither a file nor a folder"):
        Addition({"files": {"train": str(tmp_path / "none.jsonl")}})
    with pytest.raises(ValueError, match="has no rows"):
        Addition({"files": {"train": write_rows(tmp_path / "empty.jsonl", [])}})


def test_rows_are_read_whatever_their_order_and_spacing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in reversed(ADDITION)) + "\n\n", encoding="utf-8")
    env = make_env("addition", {"files": {"train": str(path)}})
    assert set(train_problems(env)) == {"Add 47 and 85", "Add 305 and 2", "Add 3 and 4"}
    assert env.full_trace(train_problems(env)["Add 47 and 85"])[-1] == "3. carry 1, write 1"
