"""Run folders written by hand: completions and results with figures chosen by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from envs import StepKind, Verdict
from rewards import Outcome
from rl.runs.log import evaluation_log, metrics_log
from rl.runs.record import BucketResult, SampleRow, SplitResult, Stage, StepRow, Summary, UpdateRow

CONFIG: dict[str, Any] = {
    "env": {"name": "countdown", "settings": {"train": ["3"]}},
    "policy": {"model": "tiny"},
    "warm_start": {"updates": 10},
    "grpo": {"updates": 4, "beta": 0.0},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0, "gate": "none"}]},
    "eval": {"num_problems": 10, "splits": ["id"]},
}


def step(
    text: str,
    kind: StepKind = StepKind.FORWARD,
    verdict: Verdict = Verdict.VALID,
    *,
    reason: str = "",
    undone: bool = False,
) -> StepRow:
    """A step; by default a valid forward one."""
    return StepRow(text=text, kind=kind, verdict=verdict, reason=reason, undone=undone)


def sample(**changes: Any) -> SampleRow:
    """A verified completion of problem 0, with `changes`."""
    usual: dict[str, Any] = {
        "stage": Stage.GRPO,
        "update": 0,
        "group": 0,
        "sample": 0,
        "env": "countdown",
        "split": "id",
        "index": 0,
        "prompt": "problem 0",
        "answer": "7",
        "full_steps": 4,
        "text": "step 0\nThus, the answer is 7.",
        "stated": "7",
        "outcome": Outcome.VERIFIED,
        "reward": 1.0,
        "parts": {"correct": 1.0},
        "tokens": 30,
        "weight_version": 0,
        "steps_checked": True,
        "steps": (step("step 0"),),
    }
    return SampleRow(**{**usual, **changes})


def traces(
    num_right: int, *, steps: int = 3, backtracks: int = 0, tokens: int = 30, num: int = 10
) -> list[SampleRow]:
    """Completions of `num` problems, the first `num_right` of them verified."""
    lines = [step(f"step {k}") for k in range(steps)]
    lines += [step("<backtrack> 0", StepKind.BACKTRACK)] * backtracks
    return [
        sample(
            group=index,
            index=index,
            prompt=f"problem {index}",
            text="\n".join(line.text for line in lines),
            outcome=Outcome.VERIFIED if index < num_right else Outcome.WRONG,
            tokens=tokens,
            steps=tuple(lines),
        )
        for index in range(num)
    ]


def result(rows: Sequence[SampleRow], **changes: Any) -> SplitResult:
    """The result of completions, as far as it follows from their rows, with `changes`."""
    right = [row for row in rows if row.correct]
    num_steps = [row.num_steps for row in right]
    backtracks = sum(row.num_backtracks for row in rows) / len(rows)
    found = split_result(
        len(right) / len(rows),
        sum(num_steps) / len(right) if right else None,
        num_problems=len(rows),
        accuracy_low=0.9 * len(right) / len(rows),
        accuracy_high=0.9 * len(right) / len(rows) + 0.1,
        full_steps_per_correct=4.0,
        tokens=sum(row.tokens for row in rows) / len(rows),
        backtracks=backtracks,
        fake_backtracks=backtracks,
    )
    return replace(found, **changes)


def split_result(accuracy: float, steps: float | None, full: float = 4.0, **changes: Any) -> SplitResult:
    """A result of 10 problems with this accuracy and number of steps per correct answer."""
    usual: dict[str, Any] = {
        "greedy": True,
        "num_problems": 10,
        "skipped": 0,
        "ungraded": 0,
        "accuracy": accuracy,
        "accuracy_low": max(0.0, accuracy - 0.1),
        "accuracy_high": min(1.0, accuracy + 0.1),
        "verified": accuracy,
        "steps_per_correct": steps,
        "full_steps_per_correct": None if steps is None else full,
        "full_steps": full,
        "steps_saved": None if steps is None else 1 - steps / full,
        "invalid_steps": 0.0,
        "backtracks": 0.0,
        "real_backtracks": 0.0,
        "fake_backtracks": 0.0,
        "needed_backtracks": 0.0,
        "needless_backtracks": 0.0,
        "backtrack_depth": None,
        "wasted_steps": 0.0,
        "tokens": 30.5,
        "truncated": 0.0,
        "sampled_accuracy": None,
        "sampled_steps_per_correct": None,
        "pass_at_k": {},
        "errors": {},
        "buckets": {},
        "by_length": {},
    }
    return SplitResult(**{**usual, **changes})


def bucket_result(accuracy: float, **errors: float) -> BucketResult:
    """A bucket of 40 problems."""
    return BucketResult(
        num_problems=40, accuracy=accuracy, accuracy_low=0.0, accuracy_high=1.0, errors=dict(errors)
    )


def write_summary(folder: Path, summary: Summary) -> None:
    """Write `summary.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary.to_json()))


def write_run(
    folder: Path,
    stages: Mapping[Stage, Sequence[SampleRow]],
    *,
    config: Mapping[str, Any] | None = None,
    updates: Sequence[Mapping[str, float]] = (),
    greedy: bool = True,
    **changes: Any,
) -> Path:
    """A run folder.

    Args:
        folder: Where.
        stages: Completions by stage; their rows say the split.
        config: The whole config; None: `CONFIG` with `changes` set.
        updates: Metrics that GRPO logged, an update each.
        greedy: Whether the completions are greedy ones, and not samples.
        changes: Keys of the config, the seed among them.
    """
    (folder / "eval").mkdir(parents=True)
    whole = {**(config or CONFIG), "name": folder.name, "output_dir": str(folder), **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole))
    results: dict[Stage, dict[str, SplitResult]] = {}
    for stage, rows in stages.items():
        by_split: dict[str, list[SampleRow]] = {}
        for row in rows:
            by_split.setdefault(row.split, []).append(row)
        results[stage] = {
            split: result(found, greedy=greedy, num_problems=len({row.index for row in found}))
            for split, found in by_split.items()
        }
        evaluation_log(folder, stage, greedy=greedy).append(*(replace(row, stage=stage) for row in rows))
    write_summary(folder, Summary(stages=results))
    logged = [
        UpdateRow(stage=Stage.GRPO, update=1 + place, metrics=metrics) for place, metrics in enumerate(updates)
    ]
    metrics_log(folder).append(*logged)
    return folder


def on(split: str, rows: Sequence[SampleRow]) -> list[SampleRow]:
    """The same completions on another split."""
    return [replace(row, split=split, prompt=f"{split}: {row.prompt}") for row in rows]


def study(
    folder: Path, cases: Mapping[str, Sequence[SampleRow]], seeds: Sequence[int] = (0, 1, 2), **changes: Any
) -> list[Path]:
    """Runs of cases that share one warm start per seed, which solves 6 of 10 problems in 4 steps.

    Args:
        folder: Where; it then looks like the folder of an ablation.
        cases: Completions after GRPO, the same for every seed.
        seeds: Of each case.
        changes: Keys of every config.

    Returns:
        The run folders, the warm starts first.
    """
    made = []
    for seed in seeds:
        warm = folder / f"warm-1234-seed{seed}"
        start = {Stage.WARM: traces(6, steps=4)}
        made.append(write_run(warm, start, seed=seed, **{**changes, "grpo": None}))
        for place, (case, rows) in enumerate(cases.items()):
            made.append(
                write_run(
                    folder / f"{case}-seed{seed}",
                    {Stage.BASE: traces(6, steps=4), Stage.GRPO: rows},
                    seed=seed,
                    warm_start=None,
                    policy={"model": str(warm / "models" / "warm")},
                    updates=[update(place, seed, number) for number in range(4)],
                    **{**changes, "grpo": {"updates": 4, "beta": 0.1 * place}},
                )
            )
    return sorted(made, key=lambda path: not path.name.startswith("warm"))


def update(place: int, seed: int, number: int) -> dict[str, float]:
    """Metrics of one update of a case."""
    return {
        "accuracy": 0.6 + 0.02 * number + 0.01 * seed,
        "steps_per_correct": 4.0 - 0.1 * number * place,
        "backtracks": 0.0,
        "tokens/mean": 40.0 - number,
        "outcome/malformed": 0.01,
        "outcome/truncated": 0.02,
        "groups/useful_frac": 0.5,
    }
