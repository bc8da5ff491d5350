"""What the runs of a comparison found: every stage of every seed, and means over seeds.

In: a `Comparison` whose runs may be unfinished. Out: a `CaseRecord` a case, read once from the run folders, and
one `Entry` a case, stage and split. Nothing here knows HTML.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from rewards import Outcome
from rl.compare.means import mean_result, mean_share
from rl.compare.runs import Comparison
from rl.runs.log import evaluation_log, metrics_log, read_summary
from rl.runs.read import by_problem, is_run, read_config, read_provenance
from rl.runs.record import SampleRow, SplitResult, Stage, UpdateRow
from rl.stats.repetition import repeats_itself

Figure = Callable[[SplitResult], float | None]
"""A figure of a result, as `lambda result: result.tokens`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceFacts:
    """What is compared of one greedy completion.

    Attributes:
        problem: A digest of prompt and answer: equal digests are the same problem.
        outcome: What became of it.
        correct: Whether the answer is right.
        full_steps: Steps of the full trace.
        steps: Steps written, undone ones included.
        invalid: Steps the environment refused.
        wasted: Steps undone later.
        backtracks: Backtrack lines and markers.
        tokens: Tokens of the completion.
        repeats: Whether it repeats lines over and over (`repetition.py`).
    """

    problem: str
    outcome: Outcome
    correct: bool
    full_steps: int
    steps: int
    invalid: int
    wasted: int
    backtracks: int
    tokens: int
    repeats: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """One evaluated stage of one seed.

    Attributes:
        folder: The run it belongs to; cases that share a warm start share its folder.
        stage: Which.
        results: By split.
        traces: By split and problem index; empty where the folder has no `eval/<stage>.jsonl`.
    """

    folder: Path
    stage: Stage
    results: Mapping[str, SplitResult]
    traces: dict[str, dict[int, TraceFacts]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a run comes from.

    Attributes:
        folder: Its folder as its config gives it; empty where the run has not started.
        started: Time of its start, in ISO form; empty where it is not recorded.
        revision: Git revision of the code; empty likewise.
    """

    folder: str = ""
    started: str = ""
    revision: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRecord:
    """One seed of a case.

    Attributes:
        stages: Those evaluated, in order; random weights before any training are left out.
        updates: The logged updates of GRPO.
        planned_updates: How many are planned; 0 without GRPO.
        origin: Where its last run comes from.
    """

    stages: tuple[StageRecord, ...]
    updates: tuple[UpdateRow, ...]
    planned_updates: int
    origin: Origin = Origin()

    def at(self, stage: Stage | None) -> StageRecord | None:
        """A stage, if it has been evaluated; None for no stage."""
        return next((record for record in self.stages if record.stage == stage), None)

    def before(self, stage: Stage) -> StageRecord | None:
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
    def last_stage(self) -> Stage | None:
        """The last stage that any of its seeds has reached; None where none has been evaluated."""
        reached = {record.stage for seed in self.seeds.values() for record in seed.stages}
        return next((stage for stage in reversed(Stage) if stage in reached), None)

    def last(self) -> dict[int, StageRecord]:
        """Its last stage, by the seeds that have reached it."""
        found = {seed: record.at(self.last_stage) for seed, record in self.seeds.items()}
        return {seed: record for seed, record in found.items() if record is not None}

    def traces(self, split: str) -> dict[int, dict[int, TraceFacts]]:
        """The completions of its last stage on a split, by seed and problem index."""
        return {seed: record.traces[split] for seed, record in self.last().items() if split in record.traces}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One case at one stage on one split.

    Attributes:
        cases: The case; for a warm start all cases that begin with it.
        stage: The stage.
        split: Split of the problems.
        results: By seed.
    """

    cases: tuple[str, ...]
    stage: Stage
    split: str
    results: dict[int, SplitResult]

    @property
    def name(self) -> str:
        """The case and its stage."""
        first, *rest = self.cases
        return f"{first}{f' and {len(rest)} more' if rest else ''}: {self.stage.label}"

    def mean(self) -> SplitResult:
        """The mean over seeds of every figure."""
        return mean_result(list(self.results.values()))

    def share_interval(self, share: Callable[[SplitResult], float]) -> tuple[float, float, float]:
        """Mean over seeds of a share of the problems, and its 95 % interval (`rl.stats.intervals`)."""
        return mean_share(list(self.results.values()), share)

    def values(self, figure: Figure) -> list[float]:
        """One figure of every seed that has it."""
        return [value for result in self.results.values() if (value := figure(result)) is not None]


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


def same_results(one: CaseRecord, other: CaseRecord) -> bool:
    """Whether two cases have the same results and the same figures of every completion, seed by seed."""
    ours, theirs = one.last(), other.last()
    return (
        bool(ours)
        and ours.keys() == theirs.keys()
        and all(
            ours[seed].results == theirs[seed].results and ours[seed].traces == theirs[seed].traces
            for seed in ours
        )
    )


def entries(cases: Sequence[CaseRecord]) -> list[Entry]:
    """Results by split: of each the warm starts, then what became of them; in the order of the cases."""
    found: dict[tuple[str, Stage, str], tuple[list[str], dict[int, SplitResult]]] = {}
    owners: dict[tuple[Path, Stage], str] = {}  # the first case of those that share a stage
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
    splits, order = list(dict.fromkeys(entry.split for entry in made)), list(Stage)
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
        if record.stage is not Stage.BASE or not (place or is_noise)
    ]
    return SeedRecord(
        stages=tuple(found),
        updates=tuple(row for row in metrics_log(chain[-1]).read() if row.stage is Stage.GRPO),
        planned_updates=int((config.get("grpo") or {}).get("updates", 0)),
        origin=_origin(chain[-1]),
    )


def _origin(folder: Path) -> Origin:
    if not is_run(folder):
        return Origin()
    about = read_provenance(folder)
    return Origin(
        folder=str(read_config(folder).get("output_dir") or ""),
        started=str(about.get("started") or ""),
        revision=str(about.get("git_revision") or ""),
    )


def _read_stages(folder: Path) -> tuple[StageRecord, ...]:
    return tuple(
        StageRecord(folder=folder, stage=stage, results=results, traces=_read_traces(folder, stage))
        for stage, results in read_summary(folder).stages.items()
    )


def _read_traces(folder: Path, stage: Stage) -> dict[str, dict[int, TraceFacts]]:
    completions = by_problem(evaluation_log(folder, stage).read(tokens=False))
    return {split: {index: facts_of(row) for index, row in rows.items()} for split, rows in completions.items()}


def facts_of(row: SampleRow) -> TraceFacts:
    """What is compared of a completion."""
    asked = json.dumps([row.prompt, row.answer])
    return TraceFacts(
        problem=blake2b(asked.encode(), digest_size=8).hexdigest(),
        outcome=row.outcome,
        correct=row.correct,
        full_steps=row.full_steps,
        steps=row.num_steps,
        invalid=row.num_invalid,
        wasted=row.num_wasted,
        backtracks=row.num_backtracks,
        tokens=row.tokens,
        repeats=repeats_itself([line for line in row.text.split("\n") if line.strip()]),
    )
