"""Rows of a user's own file: word problems with a full, a skipped and a wrong way to the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def pen_rows(num: int) -> list[dict[str, Any]]:
    """Word problems of three steps; all but the last fourth have a skipped solution, half have a detour."""
    found = []
    for n in range(20, 20 + num):
        full = [
            f"She has {n} * 4 = {4 * n} pens.",
            f"Then {4 * n} + 9 = {4 * n + 9} pens.",
            f"At the end {4 * n + 9} - 2 = {4 * n + 7} are left.",
        ]
        row: dict[str, Any] = {
            "question": f"Ann has {n} boxes of 4 pens, gets 9 pens and loses 2. How many pens are left?",
            "answer": 4 * n + 7,
            "solution": full,
        }
        if n % 4:
            row["skipped"] = [[f"She has {n} * 4 + 9 = {4 * n + 9} pens.", full[2]]]
        if n % 2:
            wrong = [f"She has {n} + 4 = {n + 4} pens.", f"Then {n + 4} + 9 = {n + 13} pens."]
            row["detours"] = {"lines": [*wrong, "Wait, these are boxes of pens.", *full], "wrong": [0, 1]}
        found.append(row)
    return found


def write_pens(path: Path, num: int, *, first: int = 0) -> str:
    """Write rows to a file and return its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in pen_rows(first + num)[first:]))
    return str(path)
