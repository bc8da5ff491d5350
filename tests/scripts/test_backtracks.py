"""`stride backtracks` on a model from scratch: what it prints and writes, what it refuses."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import pytest

from scripts.backtracks import main
from tests.kit.tiny_config import write_tiny


def test_wrong_turns_of_each_kind_are_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, table = write_tiny(tmp_path / "tiny.yaml"), tmp_path / "table.csv"
    arguments = ["config", str(config), "--problems", "6", "--samples", "2", "--csv", str(table)]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "digit" in said.out and "carry" in said.out and "again" not in said.out
    assert "48/48 completions" in said.err  # 6 problems, 2 kinds, 2 beginnings, 2 samples
    rows = [*csv.DictReader(table.read_text().splitlines())]
    assert [(row["kind"], row["after"]) for row in rows] == [
        (kind, after) for kind in ("digit", "carry") for after in ("wrong", "right")
    ]
    assert all(row["problems"] == "6" and 0 <= float(row["back"]) <= 1 for row in rows)
    first = table.read_bytes()
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"--csv {table} already exists; give another file" in capsys.readouterr().err
    again = tmp_path / "again.csv"
    assert main([*arguments[:-1], str(again)]) == 0 and again.read_bytes() == first


def test_long_prompts_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A heading and a list of actions take 23 tokens with the shorter lists."""
    limits = ["rollout.max_new_tokens=150", "policy.tiny.max_positions=256"]
    arguments = ["config", str(write_tiny(tmp_path / "tiny.yaml")), "env={name: directional}", *limits]
    few = ["--problems", "12", "--samples", "1"]
    assert main([*arguments, *few, "rollout.max_prompt_tokens=22"]) == 0
    said = capsys.readouterr()
    skipped = re.search(r"\(22\) are skipped: (\d+) of 12 id problems", said.err)
    assert skipped is not None and 0 < int(skipped[1]) < 12
    (turn,) = [line.split() for line in said.out.splitlines() if line.startswith("turn")]
    assert int(turn[1]) == 12 - int(skipped[1])
    with pytest.raises(SystemExit):
        main([*arguments, *few, "rollout.max_prompt_tokens=1"])
    assert "none of id is within the limit; raise it" in capsys.readouterr().err


FINITE = """
from envs.tasks.addition import Addition

class Finite(Addition):
    name = "finite"
    def num_problems(self, split):
        return 3
"""


def test_the_problems_of_a_split_with_an_end_are_used_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    Path("finite_backtracks.py").write_text(FINITE)
    finite = ["env.name=finite_backtracks:Finite", "eval.num_problems=3"]
    arguments = ["config", str(write_tiny(tmp_path / "tiny.yaml")), *finite]
    assert main([*arguments, "--problems", "6", "--samples", "2"]) == 0
    assert "24/24 completions" in capsys.readouterr().err  # 3 problems, 2 kinds, 2 beginnings, 2 samples


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["env={name: algebra}"], "'algebra' writes no wrong turns that a backtrack takes back"),
        (["--problems", "0"], "--problems is 0; give 1 or more"),
        (["--csv", "nowhere/table.csv"], "--csv nowhere/table.csv is in a folder that does not exist"),
    ],
)
def test_mistakes(more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["config", str(write_tiny(tmp_path / "tiny.yaml")), *more])
    said = capsys.readouterr().err
    assert message in said and said.strip().count("\n") == 0
