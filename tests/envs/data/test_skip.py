"""Proposed skipped solutions: what is merged and dropped, and that every proposal verifies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs import Split, make_env
from envs.data.proposals import write_proposals
from envs.data.skip import Proposal, propose

OTHER = {"question": "Zoe has 3 nuts and finds 4.", "answer": "7", "solution": ["3 + 4 = 7"], "split": "test"}


def proposed(tmp_path: Path, question: str, answer: str, *lines: str, **settings: Any) -> Proposal:
    file = tmp_path / "a.jsonl"
    row = {"question": question, "answer": answer, "solution": list(lines)}
    file.write_text(f"{json.dumps(row)}\n{json.dumps(OTHER)}\n")
    given = {"train": str(file), "check_steps": "arithmetic", "on_bad_rows": "skip", **settings}
    env = make_env("math", given)
    return propose(env, env.problem(Split.TRAIN, 0), lines)


@pytest.mark.parametrize(
    ("question", "lines", "merged"),
    [
        # GSM8K train, first row (openai/grade-school-math, MIT)
        (
            "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May.",
            [
                "Natalia sold 48/2 = 24 clips in May.",
                "Natalia sold 48+24 = 72 clips altogether in April and May.",
            ],
            ["Natalia sold 48+48/2 = 72 clips altogether in April and May."],
        ),
        ("From 15 and 7, and 32.", ["15+7=22 minutes", "32-22=10 minutes"], ["32-(15+7)=10 minutes"]),
        ("10 less 4, 30 each.", ["10-4=6 tickets", "6*30=$180"], ["(10-4)*30=$180"]),
        ("30 into 2, 4 each.", ["30/2=$15 each", "15*4=$60"], ["30/2*4=$60"]),
        ("6 by 2, then 60.", ["6*2=12", "60/12=5"], ["60/(6*2)=5"]),
        (
            "15 years, twice, a third.",
            ["15 years * 2 = 30 years", "30 years / 3 = 10 years"],
            ["15 years * 2 / 3 = 10 years"],
        ),
        ("$12 an hour, 50 minutes of 60.", ["12/60 = $0.2", "0.2 x 50 = $10"], ["12/60 x 50 = $10"]),
        ("$2.5 by 8, and $10.", ["$2.5 x 8 = $20", "$20 + $10 = $30"], ["$2.5 x 8 + $10 = $30"]),
    ],
)
def test_a_step_is_merged_into_the_next(
    tmp_path: Path, question: str, lines: list[str], merged: list[str]
) -> None:
    answer = lines[-1].rpartition("=")[2].strip(" $").split()[0]
    found = proposed(tmp_path, question, answer, *lines)
    assert found.versions == (tuple(merged),)
    assert found.num_steps == (2, 1)
    assert found.note.startswith("merged '")


def test_one_move_and_all_moves_are_proposed(tmp_path: Path) -> None:
    question = "Start with 9, take 1, 2, 3 and 1."
    lines = ["9 - 1 = 8", "8 - 2 = 6", "6 - 3 = 3", "3 - 1 = 2"]
    found = proposed(tmp_path, question, "2", *lines)
    assert found.versions == (("9 - 1 - 2 = 6", "6 - 3 = 3", "3 - 1 = 2"), ("9 - 1 - 2 = 6", "6 - 3 - 1 = 2"))
    assert found.num_steps == (4, 3, 2)
    assert found.note.count("merged") == 2


def test_a_restatement_is_dropped(tmp_path: Path) -> None:
    lines = ["3 * 4 = 12", "There are 12 nuts.", "Again 3 * 4 = 12", "12 + 5 = 17"]
    found = proposed(tmp_path, "3 bags of 4 nuts, and 5 more.", "17", *lines)
    assert found.versions[-1] == ("3 * 4 + 5 = 17",)
    assert "which is stated before" in found.note
    assert found.num_steps[0] == 3 and found.num_steps[-1] == 1


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (["3 * 4 = 12"], "no step can be left out"),
        (["3 * 4 = 12", "12 + 5 = 18"], "not verified: 12 + 5 = 18"),
        (
            ["3 * 4 = 12", "12 * 12 = 144"],
            "no step can be left out",
        ),  # it would be computed twice
        (["12 apples", "so many"], "not verified: "),
        (["3 * 4 + 5 = 17", "17 - 5 = 12", "12 + 5 = 17"], ""),
    ],
)
def test_nothing_is_proposed_that_does_not_verify(tmp_path: Path, lines: list[str], note: str) -> None:
    answer = {"12": "12", "144": "144"}.get(lines[-1].rpartition("=")[2].strip(), "17")
    found = proposed(tmp_path, "3 bags of 4 nuts, and 5 more.", answer, *lines)
    assert note in found.note
    assert bool(found.versions) == (not note)


def test_max_merge_bounds_a_merged_step(tmp_path: Path) -> None:
    lines = ["9 - 1 = 8", "8 - 2 = 6"]
    assert not proposed(tmp_path, "9, less 1 and 2.", "6", *lines, max_merge=1).versions
    assert proposed(tmp_path, "9, less 1 and 2.", "6", *lines, max_merge=2).versions


# ---- the file ----

ROWS: list[dict[str, Any]] = [
    {"question": "9, less 1 and 2.", "answer": "6", "solution": "9 - 1 = 8\n8 - 2 = 6", "level": 3},
    {"question": "Two and two.", "answer": "4", "solution": ["2 + 2 = 5"]},
    {"question": "A gap: 5 and 6.", "answer": "11"},
    {"question": "9, less 1 and 2.", "answer": "6"},
    {"question": "8, less 1 and 2.", "answer": "5", "solution": "8 - 1 = 7\n7 - 2 = 5.00\n#### 5"},
    {"question": "Bad.", "answer": "\\\\sum i", "solution": "1 + 1 = 2"},
    OTHER,
]


def test_every_row_is_written_and_the_file_loads(tmp_path: Path) -> None:
    file, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    env: Any = make_env("math", {"train": str(file), "check_steps": "arithmetic", "on_bad_rows": "skip"})
    seen: list[int] = []
    written = write_proposals(env, env.data_report, out, progress=lambda done, total: seen.append(total - done))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert written.num_rows == len(rows) == len(ROWS)
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert [row["question"] for row in rows] == [row["question"] for row in ROWS]
    assert (written.num_proposed, written.num_steps, written.num_left) == (2, 4, 2)
    assert rows[0]["skipped"] == [["9 - 1 - 2 = 6"]] and rows[0]["level"] == 3
    assert (
        rows[1]["note"] == "not verified: 2 + 2 = 5  [invalid: wrong arithmetic]" and "skipped" not in rows[1]
    )
    assert rows[2]["note"] == "no full solution"
    assert rows[5]["note"].startswith("left out: the right answer ")
    assert rows[6]["split"] == "id"
    again: Any = make_env("math", {"train": str(out), "check_steps": "arithmetic", "on_bad_rows": "skip"})
    assert {fault.number for fault in again.data_report.faults} == {2, 6}, "the faults that the data had"
    assert again.skip_kinds == ("by_hand",)
    assert not any("not used: note" in note for note in again.notes)
    with pytest.raises(FileExistsError):
        write_proposals(env, env.data_report, out)


def test_a_solution_that_only_the_mark_ends_keeps_its_answer(tmp_path: Path) -> None:
    file, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    row = {"question": "5 and 6, each twice.", "answer": "5 + 6 = 11\n11 * 2 = 22, both ways.\nDone.\n#### 22"}
    file.write_text(
        "".join(json.dumps(one) + "\n" for one in (row, {"question": "3 and 4", "answer": "3 + 4 = 7\n#### 7"}))
    )
    env: Any = make_env("math", {"train": str(file), "preset": "gsm8k", "check_steps": "arithmetic"})
    write_proposals(env, env.data_report, out)
    first = json.loads(out.read_text().splitlines()[0])
    assert first["solution"][-1] == "#### 22"
    assert first["skipped"] == [["(5 + 6) * 2 = 22, both ways.", "Done.", "#### 22"]]
    assert not make_env("math", {"train": str(out)}).data_report.faults  # type: ignore[attr-defined]
