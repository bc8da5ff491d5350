"""Tables as text: unfolded in a log, folded on a terminal that is too narrow."""

from __future__ import annotations

import sys

import pytest

from rl.pages.text import text_table

HEAD = ["name", "state", "accuracy"]
ROWS = [["a[b] :smile: 0.5", "done", "0.5"], ["a-name-with-more-than-thirty-letters", "-", "12.25"]]


def test_columns_are_two_spaces_apart_and_text_is_left_as_it_is() -> None:
    assert text_table(HEAD, ROWS, num_left=2).split("\n") == [
        "name                                  state  accuracy",
        "-----------------------------------------------------",
        "a[b] :smile: 0.5                      done        0.5",
        "a-name-with-more-than-thirty-letters  -         12.25",
    ]
    assert text_table(HEAD, [], num_left=1).split("\n") == ["name  state  accuracy", "---------------------"]


def test_a_narrow_terminal_folds_text_and_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = text_table(HEAD, ROWS, num_left=2).split("\n")
    assert max(map(len, lines)) <= 40
    assert [line.split()[-1] for line in lines if line.endswith("5")] == ["0.5", "12.25"]
    assert "".join(line.split()[0] for line in lines[3:]) == "a-name-with-more-than-thirty-letters"
