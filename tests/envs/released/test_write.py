"""Problems written in the released layout: reading them back gives the same, and the released rows' table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs import Split, make_env
from envs.released.env import ReleasedEnv
from envs.released.write import FILES, write_files
from tests.kit import released_rows
from tests.kit.released import ADDITION, ALGEBRA, DIRECTIONAL, SLIP, write_rows


def make(task: str, settings: dict[str, Any] | None = None) -> ReleasedEnv[Any]:
    env = make_env(task, settings)
    assert isinstance(env, ReleasedEnv)
    return env


def contents(env: ReleasedEnv[Any], split: Split) -> dict[str, Any]:
    """Answer, step count and traces of a file's problems, by question."""
    size = env.num_problems(split)
    assert size is not None
    problems = [env.problem(split, index) for index in range(size)]
    return {
        one.question: (one.answer, one.num_full_steps, one.difficulty, env.full_trace(one), env.by_hand(one))
        for one in problems
    }


@pytest.mark.parametrize("task", ["addition", "directional", "algebra"])
def test_reading_back_gives_the_same_problems_and_traces(task: str, tmp_path: Path) -> None:
    drawn = make(task)
    kind = drawn.skip_kinds[0]
    written = write_files(drawn, tmp_path, num_problems=40, skip_kind=kind)
    assert [one.num_problems for one in written] == [40, 40, 40, 40]
    assert 20 < written[0].num_skipped <= 40 and not any(one.num_skipped for one in written[1:])
    read = make(task, {"files": {split.value: str(tmp_path / name) for split, name in FILES.items()}})
    assert read.notes == (f"{written[0].num_skipped} rows repeat a question and are joined with its first row",)
    for split in Split:
        for question, (answer, steps, difficulty, full, skipped) in contents(read, split).items():
            problem = read.as_problem(drawn.pose(question), split, 0, None)
            assert (answer, steps, difficulty) == (problem.answer, problem.num_full_steps, problem.difficulty)
            assert full == drawn.full_trace(problem)
            assert all(len(lines) == steps - 1 for lines in skipped)
    first = [drawn.problem(Split.OOD_HARD, index).question for index in range(40)]
    assert list(contents(read, Split.OOD_HARD)) == list(dict.fromkeys(first))[:40]
    # Written once more, from the files: the same files but for the order of train.
    again = tmp_path / "again"
    again.mkdir()
    write_files(read, again, num_problems=1, skip_kind="by_hand")
    reread = make(task, {"files": {split.value: str(again / name) for split, name in FILES.items()}})
    assert all(contents(reread, split) == contents(read, split) for split in Split)


def test_records_have_the_published_fields(tmp_path: Path) -> None:
    for task, kind in (("addition", "random_pair"), ("algebra", None)):
        (tmp_path / task).mkdir()
        write_files(make(task), tmp_path / task, num_problems=8, skip_kind=kind)
    rows = [json.loads(line) for line in (tmp_path / "addition/train.jsonl").read_text().splitlines()]
    assert {tuple(row) for row in rows} == {("id", "prompt", "completion", "step_num", "answer")}
    assert all(row["completion"].endswith(f"Thus, the answer is {row['answer']}.") for row in rows)
    skipped = [row["id"] for row in rows if row["id"].endswith("_skip")]
    assert skipped and {one.removesuffix("_skip") for one in skipped} < {row["id"] for row in rows}
    rows = [json.loads(line) for line in (tmp_path / "algebra/train.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert {tuple(row) for row in rows} == {("id", "question", "answer", "num_steps", "steps")}
    assert all("↔" in step["equation"] for row in rows for step in row["steps"])


def test_few_distinct_problems_are_written_once(tmp_path: Path) -> None:
    env = make("directional", {"train": [1], "ood_easy": [2], "ood_hard": [3]})
    train, *_ = write_files(env, tmp_path, num_problems=50, skip_kind=None)
    assert train.num_problems == len((tmp_path / "train.jsonl").read_text().splitlines()) <= 12
    with pytest.raises(FileExistsError):
        write_files(env, tmp_path, num_problems=1, skip_kind=None)


def test_the_table_of_released_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in (("MA", [*ADDITION, SLIP]), ("DR", DIRECTIONAL), ("AOA", ALGEBRA)):
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "train.jsonl", rows)
    assert released_rows.main([str(tmp_path)]) == 0
    found = dict(released_rows.all_figures(tmp_path))
    ma, aoa = found["MA/train.jsonl"], found["AOA/train.jsonl"]
    assert (ma.rows, ma.problems, ma.full, ma.equal_steps, ma.equal_moves) == (5, 5, 3, 3, 2)
    assert (ma.lines, ma.valid, ma.skipped, ma.skipped_verified, ma.slips) == (6, 5, 2, 2, 1)
    assert (aoa.rows, aoa.full, aoa.equal_steps, aoa.equal_moves, aoa.valid) == (2, 2, 2, 2, 5)
    assert "0 faults" in capsys.readouterr().out
    wrong = ALGEBRA[1] | {"steps": [{"equation": "❤ ↔ ♋ ✾ ♙ ❀ ♏"}], "num_steps": 1}
    write_rows(tmp_path / "AOA" / "train.jsonl", [*ALGEBRA, wrong])
    assert released_rows.main([str(tmp_path)]) == 1
    assert "row 3: the solution is not the same" in capsys.readouterr().out
    assert released_rows.main([str(tmp_path / "MA")]) == 2
