"""Rows of a run's files, those included that no record can hold: damaged values, NaN, lone surrogates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs import StepKind, Verdict
from rl.runs.record import SampleRow
from rl.runs.trajectories import trajectory_log
from tests.kit.runs_by_hand import sample, step

KEYS = list(sample(pieces=(), logprobs=(), advantage=0.0).to_json())  # in the order in which a run writes them


def step_data(text: str, kind: str = "forward", verdict: str = "valid", undone: bool = False) -> dict[str, Any]:
    """A step of a row, a valid forward one by default; neither kind nor verdict need exist."""
    return {"text": text, "kind": kind, "verdict": verdict, "reason": "", "undone": undone}


def row_data(index: int = 0, **fields: Any) -> dict[str, Any]:
    """A verified completion of problem `index` with a backtrack, and any values in place of its own."""
    row = sample(
        update=1,
        group=index,
        index=index,
        prompt=f"Numbers: {index}\nAnswer:\n",
        answer="2",
        full_steps=2,
        text="1 + 1 = 3\n<backtrack>\n1 + 1 = 2\nThus, the answer is 2.",
        stated="2",
        tokens=9,
        steps=(
            step("1 + 1 = 3", verdict=Verdict.INVALID, undone=True),
            step("<backtrack>", StepKind.BACKTRACK),
            step("1 + 1 = 2"),
        ),
    )
    given = {**row.to_json(), **fields}
    return {key: given.pop(key) for key in KEYS if key in given} | given


def write_rows(folder: Path, **files: Sequence[dict[str, Any]]) -> Path:
    """A run folder with rows for `training`, in a file for each of their updates, and for evaluated stages."""
    (folder / "eval").mkdir(parents=True)
    (folder / "config.yaml").write_text("name: x\n")
    for name, rows in files.items():
        if name == "training":
            _write_training(folder, [SampleRow.from_json(row) for row in rows])
        else:
            (folder / f"eval/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _write_training(folder: Path, rows: Sequence[SampleRow]) -> None:
    for update in dict.fromkeys(row.update for row in rows):
        trajectory_log(folder).write(update, [row for row in rows if row.update == update])
