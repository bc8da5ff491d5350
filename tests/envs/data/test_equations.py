"""Worked solutions from an equation alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.data.columns import Preset
from envs.data.equations import work_out
from envs.data.read import read_rows
from envs.data.rows import Row


@pytest.mark.parametrize(
    ("equation", "full", "skipped"),
    [
        ("( 13.0 - 3.0 )", ("13 - 3 = 10",), ()),
        (
            "( ( 80.0 + 54.0 ) - 36.0 )",
            ("80 + 54 = 134", "134 - 36 = 98"),
            ("(80 + 54) - 36 = 98",),
        ),
        ("( 7 / 2 )", ("7 / 2 = 3.5",), ()),
        ("( 2.50 * 4 )", ("2.50 * 4 = 10",), ()),
        ("( ( 3.0 - 5.0 ) * 4.0 )", ("3 - 5 = -2", "-2 * 4 = -8"), ("(3 - 5) * 4 = -8",)),
        (
            "((2+3)*(4+5))",
            ("2 + 3 = 5", "4 + 5 = 9", "5 * 9 = 45"),
            ("(2+3)*(4+5) = 45",),
        ),
    ],
)
def test_an_equation_is_worked_out(equation: str, full: tuple[str, ...], skipped: tuple[str, ...]) -> None:
    assert work_out(equation) == (full, skipped)


@pytest.mark.parametrize(
    "equation",
    ["", "5", "( 5 )", "3 + 4", "( 1 / 3 )", "( 4 / 0 )", "( x + 3 )", "( 3 + 4", "(" * 400, "( 1 + " * 60],
)
def test_other_texts_have_no_solution(equation: str) -> None:
    assert work_out(equation) is None


def read_one(path: Path, preset: Preset) -> Row:
    (row,) = read_rows(str(path), preset=preset, names={}, steps="lines").rows
    return row


def test_rows_without_a_solution_get_that_of_their_equation(tmp_path: Path) -> None:
    """Two rows of SVAMP (arkilpatel/SVAMP, MIT): released columns are Body, Question, Equation and Answer."""
    row = {
        "Body": "A grocery store had 36 apples, 80 bottles of regular soda and 54 bottles of diet soda.",
        "Question": "How many more bottles than apple did they have?",
        "Equation": "( ( 80.0 + 54.0 ) - 36.0 )",
        "Answer": 98.0,
    }
    path = tmp_path / "svamp.jsonl"
    path.write_text(json.dumps(row))
    found = read_one(path, "svamp")
    assert found.solution == ("80 + 54 = 134", "134 - 36 = 98")
    assert found.skipped == (("(80 + 54) - 36 = 98",),)
    assert found.level == 2
    path.write_text(json.dumps({**row, "Equation": "no equation"}))
    found = read_one(path, "svamp")
    assert (found.solution, found.skipped) == ((), ())
