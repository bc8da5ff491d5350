"""Run folders written by hand: what a comparison reads, with figures chosen by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Row = dict[str, Any]

CONFIG: Row = {
    "env": {"name": "countdown", "settings": {"train": ["3"]}},
    "policy": {"model": "tiny"},
    "warm_start": {"updates": 10},
    "grpo": {"updates": 4, "beta": 0.0},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0, "gate": "none"}]},
    "eval": {"num_problems": 10, "splits": ["id"]},
}


def traces(
    num_right: int, *, steps: int = 3, backtracks: int = 0, tokens: int = 30, num: int = 10
) -> list[Row]:
    """Completions of `num` problems, the first `num_right` of them verified."""
    judged = {"verdict": "valid", "reason": "", "undone": False}
    lines = [{"text": f"step {k}", "kind": "forward", **judged} for k in range(steps)]
    lines += [{"text": "<backtrack> 0", "kind": "backtrack", **judged}] * backtracks
    return [
        {
            "stage": "",
            "sample": 0,
            "split": "id",
            "index": index,
            "prompt": f"problem {index}",
            "answer": "7",
            "full_steps": 4,
            "text": "\n".join(line["text"] for line in lines),
            "stated": "7",
            "outcome": "verified" if index < num_right else "wrong",
            "tokens": tokens,
            "steps": lines,
        }
        for index in range(num)
    ]


def result(rows: Sequence[Row], **changes: Any) -> Row:
    """The `SplitResult` of completions, as far as a comparison reads it."""
    right = [row for row in rows if row["outcome"] in ("verified", "correct")]
    num_steps = [sum(step["kind"] == "forward" for step in row["steps"]) for row in right]
    backtracks = sum(step["kind"] == "backtrack" for row in rows for step in row["steps"]) / len(rows)
    zeros = ("invalid_steps", "real_backtracks", "needed_backtracks", "needless_backtracks", "wasted_steps")
    return {
        "num_problems": len(rows),
        "accuracy": len(right) / len(rows),
        "accuracy_low": 0.9 * len(right) / len(rows),
        "accuracy_high": 0.9 * len(right) / len(rows) + 0.1,
        "verified": len(right) / len(rows),
        "steps_per_correct": sum(num_steps) / len(right) if right else None,
        "full_steps": 4.0,
        "full_steps_per_correct": 4.0,
        "tokens": sum(row["tokens"] for row in rows) / len(rows),
        "backtracks": backtracks,
        "fake_backtracks": backtracks,
        "sampled_accuracy": None,
        "errors": {},
        **dict.fromkeys(zeros, 0.0),
        **changes,
    }


def write_run(
    folder: Path,
    stages: Mapping[str, Sequence[Row]],
    *,
    config: Mapping[str, Any] | None = None,
    updates: Sequence[Row] = (),
    **changes: Any,
) -> Path:
    """A run folder.

    Args:
        folder: Where.
        stages: Completions by stage; their rows say the split.
        config: The whole config; None: `CONFIG` with `changes` set.
        updates: What GRPO logged.
        changes: Keys of the config, the seed among them.
    """
    (folder / "eval").mkdir(parents=True)
    whole = {**(config or CONFIG), "name": folder.name, "output_dir": str(folder), **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole))
    summary: dict[str, dict[str, Row]] = {}
    for stage, rows in stages.items():
        by_split: dict[str, list[Row]] = {}
        for row in rows:
            by_split.setdefault(row["split"], []).append(row)
        summary[stage] = {split: result(found) for split, found in by_split.items()}
        text = "".join(json.dumps({**row, "stage": stage}) + "\n" for row in rows)
        (folder / "eval" / f"{stage}.jsonl").write_text(text)
    (folder / "summary.json").write_text(json.dumps({"stages": summary}))
    logged = [{"stage": "grpo", "update": 1 + place, **row} for place, row in enumerate(updates)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    return folder


def on(split: str, rows: Sequence[Row]) -> list[Row]:
    """The same completions on another split."""
    return [{**row, "split": split, "prompt": f"{split}: {row['prompt']}"} for row in rows]


def study(
    folder: Path, cases: Mapping[str, Sequence[Row]], seeds: Sequence[int] = (0, 1, 2), **changes: Any
) -> list[Path]:
    """Runs of cases that share a warm start a seed, of which 6 of 10 problems are right in 4 steps.

    Args:
        folder: Where; it then holds what the folder of an ablation does.
        cases: Completions after GRPO, the same for every seed.
        seeds: Of each case.
        changes: Keys of every config.

    Returns:
        The run folders, the warm starts first.
    """
    made = []
    for seed in seeds:
        warm = folder / f"warm-1234-seed{seed}"
        made.append(write_run(warm, {"warm": traces(6, steps=4)}, seed=seed, **{**changes, "grpo": None}))
        for place, (case, rows) in enumerate(cases.items()):
            made.append(
                write_run(
                    folder / f"{case}-seed{seed}",
                    {"base": traces(6, steps=4), "grpo": rows},
                    seed=seed,
                    warm_start=None,
                    policy={"model": str(warm / "models" / "warm")},
                    updates=[update(place, seed, number) for number in range(4)],
                    **{**changes, "grpo": {"updates": 4, "beta": 0.1 * place}},
                )
            )
    return sorted(made, key=lambda path: not path.name.startswith("warm"))


def update(place: int, seed: int, number: int) -> Row:
    """One logged update of a case."""
    return {
        "accuracy": 0.6 + 0.02 * number + 0.01 * seed,
        "steps_per_correct": 4.0 - 0.1 * number * place,
        "backtracks": 0.0,
        "tokens/mean": 40.0 - number,
        "outcome/malformed": 0.01,
        "outcome/truncated": 0.02,
        "groups/useful_frac": 0.5,
    }
