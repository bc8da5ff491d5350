"""Figures over the problems of a task: step counts, verdicts, repeated questions, constant answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs import Problem, Trace, make_env
from envs.data import FaultKind, RowFault
from envs.data.figures import Checks, Inspection, Length, Source
from envs.data.inspection import inspect
from envs.data.report import BadRowsError
from envs.data.table import render, to_json
from envs.tasks.math.task import MathProblems

# Rows 1 and 3 have the same question; the skipped solution of row 2 saves one of three steps.
ROWS: list[dict[str, Any]] = [
    {"question": "Ann has 3 apples and buys 4.", "answer": "7", "solution": ["3 + 4 = 7"]},
    {
        "question": "Ed has 9 pens, gives 5, then 1, then 1.",
        "answer": "2",
        "solution": ["9 - 5 = 4", "4 - 1 = 3", "3 - 1 = 2"],
        "skipped": ["9 - 5 - 1 = 3\n\n3 - 1 = 2"],
    },
    {"question": "Ann has  3 apples and buys 4.", "answer": "7.0"},
    {"question": "Cy has 5 cars and gets 2.", "answer": "7", "solution": ["5 + 2 = 7"], "split": "test"},
    {"question": "Di has 3 cats.", "answer": "3"},
    {"question": "Bo has 5 cars and gets 3.", "answer": "8", "solution": ["5 + 3 = 9"]},
    {"question": "Fay has 2 hats.", "answer": "\\\\sum i"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def look(path: Path, rows: list[dict[str, Any]], **settings: Any) -> Inspection:
    given = {"train": write(path, rows), "on_bad_rows": "skip", **settings}
    return inspect(make_env("math", given), num_problems=10)


def test_figures_of_a_file(tmp_path: Path) -> None:
    found = look(tmp_path / "a.jsonl", ROWS)
    (source,) = found.sources
    assert (source.num_rows, source.num_refused) == (7, 2)
    assert [(fault.number, fault.kind) for fault in found.faults] == [
        (7, FaultKind.GOLD),
        (6, FaultKind.TRACE_ANSWER),
    ]
    assert sum(found.num_problems.values()) == 5  # of 7 rows, one is refused and one repeated
    assert found.num_repeated == 1
    full, skipped = found.lengths
    assert full == Length(kind="full", counts={1: 3, 3: 1})  # the solution that is left out is counted
    assert full.mean == 6 / 4
    assert skipped == Length(kind="by_hand", counts={2: 1}, saved_frac=1 / 3)
    assert found.checks is None
    assert {one.answer: one.right_frac for one in found.constants} == {
        "7": 2 / 5,
        "2": 1 / 5,
        "3": 1 / 5,
        "8": 1 / 5,
    }
    assert found.constants[0].answer == "7"
    assert (found.worst[0].num_steps, found.worst[0].where) == (3, f"{tmp_path / 'a.jsonl'} row 2")


def test_a_question_in_two_splits_is_a_fault(tmp_path: Path) -> None:
    other = write(tmp_path / "b.jsonl", ROWS[:1])
    found = look(tmp_path / "a.jsonl", ROWS[:5], id=other)
    assert [fault.kind for fault in found.faults] == [FaultKind.SPLITS] * 2  # both rows with this question
    assert [source.num_refused for source in found.sources] == [2, 0]
    assert found.num_repeated == 0


@pytest.mark.parametrize("check_steps", ["none", "arithmetic"])
def test_every_trace_is_judged_once(check_steps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By loading; and what loading refuses without a judgement, since it leads elsewhere, by the inspection."""
    judged: list[tuple[str, ...]] = []
    judge = MathProblems.check_demonstration

    def count(env: MathProblems, problem: Problem, lines: tuple[str, ...]) -> Trace:
        judged.append(tuple(lines))
        return judge(env, problem, lines)

    monkeypatch.setattr(MathProblems, "check_demonstration", count)
    false = {"question": "Guy has 2 hats and gets 2.", "answer": "4", "solution": ["2 + 2 = 5", "5 - 1 = 4"]}
    found = look(tmp_path / "a.jsonl", [*ROWS, false], check_steps=check_steps)
    assert sorted(judged) == sorted(set(judged))
    assert len(judged) == 6  # five solutions of different lines, and a skipped one
    if check_steps == "arithmetic":
        assert found.checks is not None
        assert (found.checks.num_traces, found.checks.num_verified, found.checks.num_steps) == (5, 3, 8)
        assert {one.shown for one in found.worst} == {
            "5 + 3 = 9: wrong arithmetic",
            "2 + 2 = 5: wrong arithmetic",
        }


def test_refused_data_tells_its_faults(tmp_path: Path) -> None:
    for policy in ("refuse", "skip"):
        with pytest.raises(BadRowsError) as caught:
            look(tmp_path / "a.jsonl", ROWS[6:], on_bad_rows=policy)
        assert [fault.kind for fault in caught.value.report.faults] == [FaultKind.GOLD]
        assert caught.value.report.num_rows == {str(tmp_path / "a.jsonl"): 1}


def test_a_task_with_checked_steps() -> None:
    found = inspect(make_env("addition"), num_problems=20)
    assert sum(found.num_problems.values()) == 80
    assert found.checks is not None
    assert found.checks.num_traces == found.checks.num_verified == 80
    assert found.checks.num_steps == sum(n * count for n, count in found.lengths[0].counts.items())
    assert not found.checks.reasons
    assert not found.worst
    assert all(length.saved_frac and length.saved_frac > 0 for length in found.lengths[1:])


def test_equations_that_set_something_up_are_not_counted_as_valid(tmp_path: Path) -> None:
    solution = ["x + 3 = 7", "x = 4"]
    rows = [
        {
            "question": f"{name} has some pens, gets 3 and has 7.",
            "answer": "4",
            "solution": solution,
            "split": split,
        }
        for name, split in (("Ann", "train"), ("Bo", "train"), ("Cy", "test"))
    ]
    for kind in ("arithmetic", "equations"):
        found = look(tmp_path / "rows.jsonl", rows, check_steps=kind)
        assert found.checks is not None
        assert (found.checks.num_verified, found.checks.num_steps, found.checks.num_unchecked) == (3, 6, 3)
        assert "50.0 %  of 6 steps (not checked 3)" in render(found).replace("50.0%", "50.0 %")


def test_a_constant_earns_what_the_task_grades_as_right() -> None:
    found = inspect(make_env("reasoning_gym", {"task": "syllogism"}), num_problems=60)
    shares = {one.answer: one.right_frac for one in found.constants}
    assert set(shares) == {"Yes", "No"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["Yes"] > 0.55
    assert found.num_graded == 120


def test_progress_counts_every_problem() -> None:
    seen: list[tuple[int, int]] = []
    inspect(make_env("directional"), num_problems=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]


# ---- the table ----

FOUND = Inspection(
    task="math",
    settings={"train": "data/a.jsonl"},
    sources=(Source(name="data/a.jsonl", num_rows=7473, num_refused=7),),
    faults=tuple(
        RowFault(source="data/a.jsonl", number=number, kind=FaultKind.GOLD, reason=f"no number {'x' * 99}")
        for number in range(1, 8)
    ),
    num_problems={"train": 5600, "id": 1866},
    num_repeated=12,
    lengths=(
        Length(kind="full", counts={2: 1000, 3: 2000, 12: 5}),
        Length(kind="by_hand", counts={1: 1000}, saved_frac=0.5),
    ),
    checks=Checks(
        num_steps=8060,
        reasons={"unknown operand": 50, "wrong arithmetic": 10},
        num_traces=3005,
        num_verified=2900,
        num_unfinished=40,
        num_without=5,
    ),
)


def test_the_table_is_one_aligned_screen() -> None:
    text = render(FOUND)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 108
    assert len(lines) < 25
    assert "rows            7,473  7 with faults      data/a.jsonl" in lines
    assert "problems        7,466  12 repeated        train 5,600, id 1,866" in lines
    assert lines.index("fault               7  the right answer cannot be graded against") > 0
    assert sum("row " in line for line in lines) == 5
    assert any("2 more (--all lists them)" in line for line in lines)
    head, full, by_hand = (
        next(line for line in lines if line.startswith(name)) for name in ("steps", "full", "by_")
    )
    assert full.index("2,000") + 4 == head.index(" 3 ") + 1  # counts stand under their number of steps
    assert full.rstrip().endswith("5")
    assert by_hand.endswith("50.0%")
    words = " ".join(text.split())
    assert "99.3% of 8,060 steps (unknown operand 50, wrong arithmetic 10)" in words
    assert (
        "96.5% of 3,005 full traces (60 with an invalid step, 40 that do not reach the answer, 5 without a "
        "step)"
    ) in words


def test_all_faults_are_listed_whole() -> None:
    lines = render(FOUND, show_all=True).splitlines()
    assert sum(line.endswith("x" * 99) for line in lines) == 7


def test_figures_as_plain_values() -> None:
    plain = json.loads(json.dumps(to_json(FOUND)))
    assert plain["faults"][0]["kind"] == "the right answer cannot be graded against"
    assert plain["checks"]["num_verified"] == 2900
    assert plain["lengths"][1]["saved_frac"] == 0.5
