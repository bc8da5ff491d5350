"""What the runs of a comparison found: every stage of every seed, and means over seeds.

In: a `Comparison` whose runs may be unfinished. Out: a `CaseRecord` a case, read once from the run folders, and
one `Entry` a case, stage and split. Nothing here knows HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from string import ascii_lowercase
from typing import Any

from rl.compare.runs import Comparison
from rl.runs.folder import read_summary
from rl.runs.log import JsonLines
from rl.runs.record import LABELS, Row, label, num_steps, readable
from rl.stats.repetition import repeats_itself


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceFacts:
    """What is compared of one greedy completion.

    Attributes:
        problem: A digest of prompt and answer: equal digests are the same problem.
        outcome: Value of an `Outcome`.
        steps: Forward steps written, undone ones included.
        backtracks: Backtrack lines and markers.
        tokens: Of the completion.
        repeats: Whether it says the same over and over (`repetition.py`).
    """

    problem: str
    outcome: str
    steps: int
    backtracks: int
    tokens: int
    repeats: bool

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        return self.outcome in ("verified", "correct")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """One evaluated stage of one seed.

    Attributes:
        folder: The run it belongs to; cases that share a warm start share its folder.
        stage: `base`, `warm` or `grpo`.
        results: By split, with the fields of `SplitResult`.
        traces: By split and problem index; empty where the folder has no `eval/<stage>.jsonl`.
    """

    folder: Path
    stage: str
    results: dict[str, Row]
    traces: dict[str, dict[int, TraceFacts]]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRecord:
    """One seed of a case.

    Attributes:
        stages: Those evaluated, in order; random weights before any training are left out.
        updates: The logged updates of GRPO.
        planned_updates: How many there shall be; 0 without GRPO.
    """

    stages: tuple[StageRecord, ...]
    updates: tuple[Row, ...]
    planned_updates: int

    def at(self, stage: str) -> StageRecord | None:
        """A stage, if it has been evaluated."""
        return next((record for record in self.stages if record.stage == stage), None)

    def before(self, stage: str) -> StageRecord | None:
        """The stage that a stage began with, if both have been evaluated."""
        names = [record.stage for record in self.stages]
        place = names.index(stage) if stage in names else 0
        return self.stages[place - 1] if place else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRecord:
    """One case.

    Attributes:
        name: Its name.
        key: The letter it has in plots.
        seeds: What each seed found.
    """

    name: str
    key: str
    seeds: dict[int, SeedRecord]

    @property
    def last_stage(self) -> str | None:
        """The last stage that any of its seeds has reached; None where none has been evaluated."""
        reached = {record.stage for seed in self.seeds.values() for record in seed.stages}
        return next((stage for stage in reversed(LABELS) if stage in reached), None)

    def last(self) -> dict[int, StageRecord]:
        """Its last stage, by the seeds that have reached it."""
        found = {seed: record.at(self.last_stage or "") for seed, record in self.seeds.items()}
        return {seed: record for seed, record in found.items() if record is not None}

    def traces(self, split: str) -> dict[int, dict[int, TraceFacts]]:
        """The completions of its last stage on a split, by seed and problem index."""
        return {seed: record.traces[split] for seed, record in self.last().items() if split in record.traces}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One case at one stage on one split.

    Attributes:
        cases: The case; for a warm start all cases that begin with it.
        stage: `base`, `warm` or `grpo`.
        split: Split of the problems.
        results: By seed, with the fields of `SplitResult`.
    """

    cases: tuple[str, ...]
    stage: str
    split: str
    results: dict[int, Row]

    @property
    def name(self) -> str:
        """As a reader calls it."""
        first, *rest = self.cases
        return f"{first}{f' and {len(rest)} more' if rest else ''}: {label(self.stage)}"

    def mean(self) -> Row:
        """The mean over seeds of every number; of a figure some seeds lack, over those that have it."""
        return _mean(list(self.results.values()))

    def values(self, key: str) -> list[float]:
        """One figure of every seed that has it."""
        return [row[key] for row in self.results.values() if row.get(key) is not None]


def read_cases(comparison: Comparison) -> list[CaseRecord]:
    """Read every run folder once.

    Raises:
        RunFolderError: A file of one is damaged.
    """
    stages: dict[Path, tuple[StageRecord, ...]] = {}
    cases = []
    for place, (name, seeds) in enumerate(comparison.folders.items()):
        for folder in [folder for chain in seeds.values() for folder in chain if folder not in stages]:
            stages[folder] = _read_stages(folder)
        config = comparison.configs.get(name, {})
        records = {seed: _seed_record(chain, stages, config) for seed, chain in seeds.items()}
        key = ascii_lowercase[place % 26] + (str(place // 26) if place >= 26 else "")
        cases.append(CaseRecord(name=name, key=key, seeds=records))
    return cases


def entries(cases: Sequence[CaseRecord]) -> list[Entry]:
    """Results by split: of each the warm starts, then what became of them; in the order of the cases."""
    found: dict[tuple[str, str, str], tuple[list[str], dict[int, Row]]] = {}
    owners: dict[tuple[Path, str], str] = {}  # the first case of those that share a stage
    for case in cases:
        for seed, record in case.seeds.items():
            for stage in record.stages:
                owner = owners.setdefault((stage.folder, stage.stage), case.name)
                for split, row in stage.results.items():
                    names, rows = found.setdefault((owner, stage.stage, split), ([], {}))
                    rows[seed] = row
                    if case.name not in names:
                        names.append(case.name)
    made = [
        Entry(cases=tuple(names), stage=stage, split=split, results=rows)
        for (_, stage, split), (names, rows) in found.items()
    ]
    splits, order = list(dict.fromkeys(entry.split for entry in made)), list(LABELS)
    return sorted(made, key=lambda entry: (splits.index(entry.split), order.index(entry.stage)))


def _seed_record(
    chain: Sequence[Path], stages: Mapping[Path, Sequence[StageRecord]], config: Mapping[str, Any]
) -> SeedRecord:
    trained = config.get("warm_start") or config.get("grpo")
    is_noise = trained and (config.get("policy") or {}).get("model") == "tiny"
    found = [
        record
        for place, folder in enumerate(chain)
        for record in stages[folder]
        # What a later run of the chain calls its base is the last stage of the one before.
        if record.stage != "base" or not (place or is_noise)
    ]
    rows = readable(chain[-1] / "metrics.jsonl", lambda path: JsonLines(path).read())
    return SeedRecord(
        stages=tuple(found),
        updates=tuple(row for row in rows if row["stage"] == "grpo"),
        planned_updates=int((config.get("grpo") or {}).get("updates", 0)),
    )


def _read_stages(folder: Path) -> tuple[StageRecord, ...]:
    stages = readable(folder / "summary.json", lambda path: read_summary(path.parent))["stages"]
    return tuple(
        StageRecord(folder=folder, stage=stage, results=stages[stage], traces=_read_traces(folder, stage))
        for stage in LABELS
        if stage in stages
    )


def _read_traces(folder: Path, stage: str) -> dict[str, dict[int, TraceFacts]]:
    traces: dict[str, dict[int, TraceFacts]] = {}
    for row in readable(folder / "eval" / f"{stage}.jsonl", lambda path: JsonLines(path).read()):
        if row["sample"] == 0:
            traces.setdefault(row["split"], {})[row["index"]] = _facts(row)
    return traces


def _facts(row: Row) -> TraceFacts:
    asked = json.dumps([row["prompt"], row["answer"]])
    return TraceFacts(
        problem=blake2b(asked.encode(), digest_size=8).hexdigest(),
        outcome=row["outcome"],
        steps=num_steps(row),
        backtracks=sum(step["kind"] != "forward" for step in row["steps"]),
        tokens=row["tokens"],
        repeats=repeats_itself([line for line in row["text"].split("\n") if line.strip()]),
    )


def _mean(rows: Sequence[Row], *, lacking: float | None = None) -> Row:
    """The mean of every number; a row that lacks one counts as `lacking`, or not at all."""
    mean: Row = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [lacking if row.get(key) is None else row[key] for row in rows]
        known: list[Any] = [value for value in values if value is not None]
        if known and isinstance(known[0], dict):  # a seed without an error of some kind has none of them
            mean[key] = _mean(known, lacking=0.0 if key == "errors" else None)
        else:
            mean[key] = fmean(known) if known else None
    return mean
