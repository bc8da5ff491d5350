"""The results of the runs in a comparison: every stage of every seed, and means over seeds.

In: a `Comparison` whose runs may be unfinished. Out: a `CaseRecord` for each case, read once from the run
folders, and an `Entry` for each case, stage and split. Nothing here knows HTML.
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
from rl.runs.log import metrics_log, read_summary
from rl.runs.read import headline_rows, is_run, read_config, read_provenance
from rl.runs.record import SampleRow, SplitResult, Stage, UpdateRow, planned_stages
from rl.stats.repetition import repeats_itself

Figure = Callable[[SplitResult], float | None]
"""Takes a figure from a result, such as `lambda result: result.tokens`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceFacts:
    """The figures of one completion by which cases are compared.

    Attributes:
        problem: A digest of prompt and answer; equal digests mean the same problem.
        outcome: How it was graded.
        correct: Whether the answer is right.
        steps_checked: Whether the task checks steps.
        full_steps: Steps of the full trace.
        steps: Steps written, undone ones included.
        invalid: Steps the environment refused.
        wasted: Steps undone later.
        backtracks: Backtrack lines and markers.
        tokens: Tokens of the completion.
        repeats: Whether it repeats lines in a loop (`rl/stats/repetition.py`).
        strict: Whether the answer is right and stated in the task's own form; None where results were stored
            by a version that does not say it.
    """

    problem: str
    outcome: Outcome
    correct: bool
    steps_checked: bool
    full_steps: int
    steps: int
    invalid: int
    wasted: int
    backtracks: int
    tokens: int
    repeats: bool
    strict: bool | None = None


Traces = dict[str, dict[int, tuple[TraceFacts, ...]]]
"""Completions by split and problem index: the greedy one, or all samples of a stage that was only sampled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """One evaluated stage of one seed.

    Attributes:
        folder: The run it belongs to; cases that share a warm start share its folder.
        stage: The stage.
        results: Results by split.
        traces: Completions by split and problem index; empty where the folder kept none.
    """

    folder: Path
    stage: Stage
    results: Mapping[str, SplitResult]
    traces: Traces


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a run comes from.

    Attributes:
        folder: Its folder, as its config names it; empty if the run has not started.
        started: Time of its start, in ISO form; empty if it is not recorded.
        revision: Git revision of the code; empty if it is not recorded.
    """

    folder: str = ""
    started: str = ""
    revision: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRecord:
    """One seed of a case.

    Attributes:
        stages: The evaluated stages in order, without random weights before any training.
        updates: The logged updates of GRPO.
        planned_updates: Planned updates of GRPO; 0 without GRPO.
        origin: The origin of its last run.
        warnings: What its last run warned of at its start.
    """

    stages: tuple[StageRecord, ...]
    updates: tuple[UpdateRow, ...]
    planned_updates: int
    origin: Origin = Origin()
    warnings: tuple[str, ...] = ()

    def at(self, stage: Stage | None) -> StageRecord | None:
        """The record of a stage; None if it has not been evaluated or `stage` is None."""
        return next((record for record in self.stages if record.stage == stage), None)

    def before(self, stage: Stage) -> StageRecord | None:
        """The stage that `stage` started from; None if either has not been evaluated."""
        names = [record.stage for record in self.stages]
        place = names.index(stage) if stage in names else 0
        return self.stages[place - 1] if place else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRecord:
    """One case.

    Attributes:
        name: Its name.
        key: Its letter in plots.
        seeds: Results by seed.
    """

    name: str
    key: str
    seeds: dict[int, SeedRecord]

    @property
    def last_stage(self) -> Stage | None:
        """The last stage that any of its seeds has evaluated; None if there is none."""
        reached = {record.stage for seed in self.seeds.values() for record in seed.stages}
        return next((stage for stage in reversed(Stage) if stage in reached), None)

    def last(self) -> dict[int, StageRecord]:
        """The records of its last stage by seed, without seeds that have not evaluated it."""
        found = {seed: record.at(self.last_stage) for seed, record in self.seeds.items()}
        return {seed: record for seed, record in found.items() if record is not None}

    def traces(self, split: str) -> dict[int, dict[int, tuple[TraceFacts, ...]]]:
        """The completions of its last stage on a split, by seed and problem index."""
        return {seed: record.traces[split] for seed, record in self.last().items() if split in record.traces}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One case at one stage on one split.

    Attributes:
        cases: The case; for a warm start, all cases that start from it.
        stage: The stage.
        split: Split of the problems.
        results: Results by seed.
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

    def share_interval(self, share: Figure) -> tuple[float, float, float]:
        """Mean over seeds of a share of the problems, and its 95 % interval; at least one seed must have it."""
        return mean_share(list(self.results.values()), share)

    def values(self, figure: Figure) -> list[float]:
        """A figure of each seed that has it."""
        return [value for result in self.results.values() if (value := figure(result)) is not None]


def read_cases(comparison: Comparison) -> list[CaseRecord]:
    """Read every run folder once.

    Raises:
        RunFolderError: A file of a run is damaged.
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
    """Whether two cases agree in all results and in all figures of every completion, seed by seed."""
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
    """All results, ordered by split, then by stage, then by case."""
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
    is_noise = planned_stages(config) and (config.get("policy") or {}).get("model") == "tiny"
    found = [
        record
        for place, folder in enumerate(chain)
        for record in stages[folder]
        # The base of a later run in the chain is the last stage of the run before it.
        if record.stage is not Stage.BASE or not (place or is_noise)
    ]
    return SeedRecord(
        stages=tuple(found),
        updates=tuple(row for row in metrics_log(chain[-1]).read() if row.stage is Stage.GRPO),
        planned_updates=int((config.get("grpo") or {}).get("updates", 0)),
        origin=_origin(chain[-1]),
        warnings=read_summary(chain[-1]).warnings,
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
        StageRecord(folder=folder, stage=stage, results=results, traces=_read_traces(folder, stage, results))
        for stage, results in read_summary(folder).stages.items()
    )


def _read_traces(folder: Path, stage: Stage, results: Mapping[str, SplitResult]) -> Traces:
    found: Traces = {}
    for row in headline_rows(folder, stage, results):
        ours = found.setdefault(row.split, {})
        ours[row.index] = (*ours.get(row.index, ()), facts_of(row))
    return found


def facts_of(row: SampleRow) -> TraceFacts:
    """The figures of a completion by which cases are compared."""
    problem = json.dumps([row.prompt, row.answer])
    return TraceFacts(
        problem=blake2b(problem.encode(), digest_size=8).hexdigest(),
        outcome=row.outcome,
        correct=row.correct,
        steps_checked=row.steps_checked,
        full_steps=row.full_steps,
        steps=row.num_steps,
        invalid=row.num_invalid,
        wasted=row.num_wasted,
        backtracks=row.num_backtracks,
        tokens=row.tokens,
        repeats=repeats_itself([line for line in row.text.split("\n") if line.strip()]),
        strict=row.strictly_correct,
    )
