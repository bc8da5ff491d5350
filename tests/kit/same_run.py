"""Whether a run that was interrupted ends like one that was not, file by file."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl.runs.log import metrics_log, read_summary
from rl.runs.record import Stage
from rl.runs.trajectories import during_log, trajectory_log

_TIMED = re.compile(r"seconds/.*|tokens_per_s|step_time")
"""Figures that depend on the clock."""
_LEFTOVER = re.compile(r"\.(tmp|old|damaged)\b")


def differences(run: Path, whole: Path) -> list[str]:
    """What of a run differs from an uninterrupted one; nothing if it was resumed as it should be.

    Compared are the weights of all models (SHA-256), every update in `metrics.jsonl` (once each, without
    times), every completion of training and of evaluations, and the results. Nothing half-written may be left.
    """
    return [
        *_of("weights", digests(run), digests(whole)),
        *_updates(run, whole),
        *_of("figures of updates", figures(run), figures(whole)),
        *_of("completions", trajectory_log(run).read(), trajectory_log(whole).read()),
        *_of("completions of evaluations", during_log(run).read(), during_log(whole).read()),
        *_of("results", read_summary(run).stages, read_summary(whole).stages),
        *(f"left behind: {path.relative_to(run)}" for path in leftovers(run)),
    ]


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of the weights of all models."""
    paths = sorted((run / "models").rglob("*.safetensors"))
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def figures(run: Path) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl` without times."""
    rows = [row.to_json() for row in metrics_log(run).read()]
    return [{key: value for key, value in row.items() if not _TIMED.fullmatch(key)} for row in rows]


def leftovers(folder: Path) -> Iterator[Path]:
    """What was being written or replaced, or was set aside as damaged."""
    return (path for path in folder.rglob("*") if _LEFTOVER.search(path.name))


def _updates(run: Path, whole: Path) -> Iterator[str]:
    logged = Counter((row.stage, row.update) for row in metrics_log(run).read())
    for stage in Stage:
        wanted = {row.update for row in metrics_log(whole).read() if row.stage is stage}
        for update in sorted(wanted | {number for of, number in logged if of is stage}):
            times = logged[stage, update]
            if times != (update in wanted):
                yield f"{stage} update {update} is logged {times} times"
    rows = trajectory_log(run).read(tokens=False)
    sampled = Counter((row.update, row.group, row.sample) for row in rows)
    for key, times in sampled.items():
        if times > 1:
            yield f"completion {key} (update, group, sample) is stored {times} times"


def _of(what: str, found: Any, wanted: Any) -> Iterator[str]:
    if found == wanted:
        return
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = sorted(str(key) for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        yield f"{what} differ: {', '.join(names)}"
        return
    pairs = zip(found, wanted, strict=False)
    number = next((n for n, (one, two) in enumerate(pairs) if one != two), min(len(found), len(wanted)))
    yield f"{what} differ from number {number} on, {len(found)} of {len(wanted)}"
