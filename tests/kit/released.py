"""Rows of our own in the layout of the released data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ADDITION: list[dict[str, Any]] = [
    {
        "id": "2_2/0",
        "prompt": "Question: 47 + 85",
        "completion": "1. 7 + 5 (plus carry 0) = 12 (write down 2, carry over 1).\n"
        "2. 4 + 8 (plus carry 1) = 13 (write down 3, carry over 1).\n"
        "3. Carry the final carry over 1 to the next place.\n"
        "Thus, the answer is 132.",
        "step_num": 3,
        "answer": 132,
    },
    {
        "id": "2_2/0_skip",
        "prompt": "Question: 47 + 85",
        "completion": "1. 47 + 85 (plus carry 0) = 132 (write down 32, carry over 1).\n"
        "2. Carry the final carry over 1 to the next place.\n"
        "Thus, the answer is 132.",
        "step_num": 2,
        "answer": 132,
    },
    {
        "id": "3_1/1_skip",
        "prompt": "Question: 305 + 2",
        "completion": "1. 5 + 2 (plus carry 0) = 7 (write down 07, no carry over).\n"
        "2. 3 + 0 (plus carry 0) = 3 (write down 3, no carry over).\n"
        "Thus, the answer is 307.",
        "step_num": 2,
        "answer": 307,
    },
    {
        "id": "1_1/2",
        "prompt": "Question: 3 + 4",
        "completion": "1. 3 + 4 (plus carry 0) = 7 (write down 7, no carry over).\nThus, the answer is 7.",
        "step_num": 1,
        "answer": 7,
    },
]
# The carry into the second column is 1, and its sum says so; the line prints the carry out of it, 0.
SLIP: dict[str, Any] = {
    "id": "2_2/9",
    "prompt": "Question: 28 + 35",
    "completion": "1. Add the 10^0's place digits: 8 + 5 (plus carry 0) = 13 (write down 3, carry over 1).\n"
    "2. Add the 10^1's place digits: 2 + 3 (plus carry 0) = 6 (write down 6, no carry over).\n"
    "Thus, the answer is 63.",
    "step_num": 2,
    "answer": 63,
}
FACE_EAST = (
    "Assuming an initial orientation facing East, determine the final direction after executing the following "
    "actions: Left, Around, Around"
)
DIRECTIONAL: list[dict[str, Any]] = [
    {
        "id": "seq3_0",
        "prompt": FACE_EAST,
        "completion": "North. Around, Around\nSouth. Around\nNorth.\nThus, the answer is North.",
        "step_num": 3,
        "answer": "North",
    },
    {
        "id": "seq3_0/skip",
        "prompt": FACE_EAST,
        "completion": "North. Around, Around\nNorth.\nThus, the answer is North.",
        "step_num": 2,
        "answer": "North",
    },
]
# - A * B / x = C in their symbols, factors multiplied out as there.
ALGEBRA: list[dict[str, Any]] = [
    {
        "id": "test_0",
        "variable_num": 4,
        "question": "❀ ♋ ✾ ♙ ♪ ❤ ↔ ♏",
        "answer": "❤ ↔ ♙ ♪ ❲ ❀ ♏ ♪ ♋ ❳",
        "num_steps": 3,
        "steps": [
            {"step": 1, "desc": "Move ❀ to the right side", "equation": "♋ ✾ ♙ ♪ ❤ ↔ ❀ ♏"},
            {"step": 2, "desc": "Move ✾ ♋ to the right side", "equation": "♙ ♪ ❤ ↔ ❀ ♏ ♪ ♋"},
            {"step": 3, "desc": "Move ♙ to the right side", "equation": "❤ ↔ ♙ ♪ ❲ ❀ ♏ ♪ ♋ ❳"},
        ],
    },
    {
        "id": "test_1",
        "question": "❤ ♪ ♙ ✰ ♏ ↔ ♋",
        "answer": "❤ ↔ ♋ ✾ ♙ ❀ ♏ ✾ ♙",
        "num_steps": 2,
        "steps": [
            {"step": 1, "equation": "❤ ♪ ♙ ↔ ♋ ❀ ♏"},
            {"step": 2, "equation": "❤ ↔ ♋ ✾ ♙ ❀ ♏ ✾ ♙"},
        ],
    },
]
ROWS = {"addition": ADDITION, "directional": DIRECTIONAL, "algebra": ALGEBRA}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Write a JSONL file; returns its path as settings name it."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
