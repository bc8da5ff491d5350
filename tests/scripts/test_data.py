"""`stride data check` and `stride data skip`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli import main

# Questions 0 and 1 are from GSM8K's train split (openai/grade-school-math, MIT).
ROWS: list[dict[str, Any]] = [
    {
        "question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in "
        "May. How many clips did Natalia sell altogether in April and May?",
        "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips "
        "altogether in April and May.\n#### 72",
    },
    {
        "question": "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of "
        "babysitting. How much did she earn?",
        "answer": "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\nWorking 50 minutes, she earned 0.2 x 50 = "
        "$<<0.2*50=10>>10.\n#### 10",
    },
    {"question": "Ann has 3 nuts and finds 4. How many?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
    {"question": "Ann has 5 nuts and finds 4. How many?", "answer": "5 + 4 = <<5+4=9>>9\n#### 9"},
    {"question": "Ann has 6 nuts. Find 4.", "answer": "6 + 4 = <<6+4=10>>10\n#### 10", "split": "test"},
]
BAD = {"question": "Ann has 7 nuts. How many?", "answer": "So many.\n#### \\\\sum i"}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path / "a.jsonl", ROWS)


def test_check_of_a_sound_file(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", file, "preset=gsm8k"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"math  train={file}, preset=gsm8k\n\nrows                5  no faults")
    assert "full                5   1.40" in out
    assert "'10' 40.0%" in out
    assert "note" not in out


def test_bad_rows_are_listed_and_decide_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "a.jsonl", [*ROWS, *(BAD | {"question": f"Ann has {n} nuts."} for n in range(7))])
    assert main(["data", "check", file, "preset=gsm8k"]) == 1
    out = capsys.readouterr().out
    assert "rows               12  7 with faults" in out
    assert "fault               7  the right answer cannot be graded against" in out
    assert "row 6: " in out and "row 12: " not in out and "2 more (--all lists them)" in out
    assert out.endswith(
        "A run would refuse this data: correct the rows, or leave them out by on_bad_rows=skip.\n"
    )
    assert main(["data", "check", file, "preset=gsm8k", "on_bad_rows=skip", "--all"]) == 0
    out = capsys.readouterr().out
    assert "row 12: " in out and "A run would refuse" not in out


def test_a_file_without_a_usable_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.jsonl", [BAD])
    assert main(["data", "check", file, "preset=gsm8k", "on_bad_rows=skip"]) == 1
    out = capsys.readouterr().out
    assert "row 1: " in out and "No run can start: " in out


def test_figures_for_a_program(file: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert main(["data", "check", file, "preset=gsm8k", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["lengths"][0] == {"kind": "full", "counts": {"1": 3, "2": 2}, "saved_frac": None}
    assert found["num_problems"]["train"] + found["num_problems"]["id"] == 5


def test_another_task_and_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--task", "addition", "seed=3", "-n", "4"]) == 0
    assert "problems           16" in capsys.readouterr().out
    config = tmp_path / "run.yaml"
    config.write_text(
        "env: {name: directional}\n"
        "policy: {tiny: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 32}}\n"
        "rewards: {terms: [{name: correct, weight: 1}]}\n"
    )
    assert main(["data", "check", str(config), "-n", "4"]) == 0
    assert capsys.readouterr().out.startswith("directional")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc"], "unknown command 'chekc'; did you mean 'check'? known: check, skip"),
        (["check"], "SOURCE is missing; give a file, or --task NAME"),
        (["check", "a", "b"], "a and b: give one SOURCE; another split is a setting, id=b"),
        (["check", "a", "--task", "addition"], "a and --task addition: give one of the two"),
        (["check", "none.jsonl"], "none.jsonl is neither a file nor a folder"),
        (["check", "a", "presett=gsm8k"], "unknown key 'presett'; did you mean 'preset'?"),
        (["check", "--task", "aditon"], "did you mean 'addition'?"),
        (["check", "--task", "addition", "-n", "0"], "--num-problems is 0; give at least 1"),
        (["skip", "--out", "x"], "SOURCE is missing; give a file"),
        (["skip", "a"], "--out is missing"),
        (["skip", "a", "--out", "no/such/x"], "there is no folder no/such"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", *words])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in err and err.count("\n") == 1


def test_skip_writes_a_file_that_check_reads(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.jsonl"
    words = ["data", "skip", file, "preset=gsm8k", "--out", str(out)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "5 rows written to" in shown and "2 with a proposal (40.0%), 2 skipped solutions" in shown
    assert "4 steps become 2 in the shortest ones (50.0% saved)" in shown
    assert main(["data", "check", str(out), "check_steps=arithmetic"]) == 0
    shown = capsys.readouterr().out
    assert "no faults" in shown and "by_hand             2   1.00" in shown
    before = out.read_text()
    with pytest.raises(SystemExit):
        main(words)
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert out.read_text() == before


def test_the_share_of_steps_that_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"question": "Ann has 7 nuts and finds 4.", "answer": "7 + 4 = 12\n12 - 1 = 11\n#### 11"}
    file = write(tmp_path / "a.jsonl", [*ROWS, wrong])
    assert main(["data", "check", file, "preset=gsm8k", "check_steps=arithmetic"]) == 1
    words = " ".join(capsys.readouterr().out.split())
    assert "fault 1 a trace is not verified" in words
    assert "of 9 steps (wrong arithmetic 1" in words
    assert "83.3% of 6 full traces (1 with an invalid step)" in words
    assert "row 6 2 " in words and "7 + 4 = 12: wrong arithmetic" in words


def test_skip_needs_checked_steps(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "skip", file, "preset=gsm8k", "check_steps=none", "--out", str(tmp_path / "b")])
    assert ended.value.code == 2
    assert "check_steps=none checks no steps" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_export_writes_rows_that_check_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "rows"
    assert main(["data", "export", "--task", "addition", "--out", str(out), "-n", "3", "seed=1"]) == 0
    assert f"3 problems, 3 skipped versions: {out / 'train.jsonl'}" in capsys.readouterr().out
    names = ["id_test.jsonl", "ood_easy.jsonl", "ood_hard.jsonl", "train.jsonl"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert main(["data", "check", "--task", "addition", f"files.train={out / 'train.jsonl'}", "-n", "5"]) == 0
    assert "no faults" in capsys.readouterr().out
