"""Stored results: the data of a comparison, in a folder of text files small enough to keep with the code.

::

    comparison.json    title, question, cases, configs, seeds and origins of the runs; the format number
    results.csv        one `SplitResult` per line: run, stage, split
    traces.csv         one `TraceFacts` per line: run, stage, split, problem index, sample
    updates.csv        one `UpdateRow` of GRPO per line: run, update
    <run>/eval/<stage>-search/    the search of a case's last stage (`eval.search`), without its texts

A CSV file above a megabyte is compressed and ends in `.csv.gz`. Numbers are written so that they read back
exactly: the page of stored results is the page of their run folders, byte for byte.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from rewards import Outcome
from rl.compare.results import CaseRecord, Origin, SeedRecord, StageRecord, TraceFacts, Traces
from rl.compare.runs import Comparison
from rl.runs.analysis import write_settings
from rl.runs.errors import RunFolderError
from rl.runs.record import SplitResult, Stage, UpdateRow
from rl.search.record import ProblemRow, has_search, problem_log, stage_folder, stage_settings

FORMAT = 2
"""Version of the files. Raise it with every change that an older reader would misread."""

_INDEX = "comparison.json"
_LARGE = 1_000_000  # bytes of a CSV file from which on it is compressed
_FIELDS = [field.name for field in fields(TraceFacts)]
_FLAGS = ("correct", "steps_checked", "repeats", "strict")
_RESULTS = [field.name for field in fields(SplitResult)]

Row = dict[str, Any]


def is_stored(path: Path) -> bool:
    """Whether a folder holds stored results."""
    return (path / _INDEX).is_file()


def store(comparison: Comparison, cases: Sequence[CaseRecord], folder: Path) -> None:
    """Write the results of a comparison.

    Args:
        comparison: The comparison.
        cases: Its cases as `read_cases` gives them.
        folder: Where; files of an earlier call are replaced.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    names = _names(comparison)
    results, traces, updates = [], [], []
    for stage in {(one.folder, one.stage): one for case in cases for one in _stages(case)}.values():
        about = {"run": names[stage.folder], "stage": stage.stage.value}
        for split, result in stage.results.items():
            results.append(
                about | {"split": split} | {key: _cell(value) for key, value in result.to_json().items()}
            )
        for split, completions in stage.traces.items():
            for index, samples in completions.items():
                for sample, facts in enumerate(samples):
                    traces.append(about | {"split": split, "index": index, "sample": sample} | _facts(facts))
    seeds: dict[str, dict[str, Row]] = {}
    for case in cases:
        for seed, record in case.seeds.items():
            chain = comparison.folders[case.name][seed]
            own = names[chain[-1]]
            seeds.setdefault(case.name, {})[str(seed)] = {
                "runs": [names[run] for run in chain],
                "stages": [[names[one.folder], one.stage.value] for one in record.stages],
                "planned_updates": record.planned_updates,
                "origin": asdict(record.origin),
                "warnings": list(record.warnings),
            }
            rows = [{"run": own, "update": row.update, **row.metrics} for row in record.updates]
            updates += [{key: _cell(value) for key, value in row.items()} for row in rows]
    contents = {
        "format": FORMAT,
        "kind": comparison.kind,
        "name": comparison.name,
        "question": comparison.question,
        "command": comparison.command,
        "failures": comparison.failures,
        "cases": seeds,
        "keys": {case.name: case.key for case in cases},
        "configs": comparison.configs,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, "results", ["run", "stage", "split", *_RESULTS], results)
        _write(folder, "traces", ["run", "stage", "split", "index", "sample", *_FIELDS], traces)
        metrics = sorted({key for row in updates for key in row} - {"run", "update"})
        _write(folder, "updates", ["run", "update", *metrics], updates)
        for stage in {(one.folder, one.stage): one for case in cases for one in case.last().values()}.values():
            _store_search(stage, folder / names[stage.folder])
        (folder / _INDEX).write_text(
            json.dumps(contents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise RunFolderError(
            f"--store {folder} cannot be written: {error.strerror or error}; give another"
        ) from None


def _store_search(record: StageRecord, run: Path) -> None:
    """Write the search of a stage, without texts: no figure of a comparison needs them."""
    source, place = [stage_folder(one, record.stage) for one in (record.folder, run)]
    if not has_search(source):
        shutil.rmtree(place, ignore_errors=True)  # of an earlier call
        return
    settings, rows = stage_settings(record.folder, record.stage), problem_log(source).read()
    place.mkdir(parents=True, exist_ok=True)
    write_settings(place, "search", {"name": "", "model": "", "env": {}, "search": settings})
    problem_log(place).replace([_without_texts(row) for row in rows])


def _without_texts(row: ProblemRow) -> ProblemRow:
    return replace(
        row,
        responses=tuple([replace(one, text="") for one in row.responses]),
        searches=tuple([replace(one, states=("",) * len(one.states)) for one in row.searches]),
    )


def read_stored(folder: Path) -> tuple[Comparison, list[CaseRecord]]:
    """The comparison in a folder of stored results, and its cases.

    Raises:
        RunFolderError: A file is missing or damaged, or has another format.
    """
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        if index.get("format") != FORMAT:
            found = index.get("format")
            raise ValueError(f"it has format {found!r}, and this version of Stride reads format {FORMAT}")
        return _read(folder, index)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        lacks = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"the results stored in {folder} cannot be read: {lacks}; store them again"
        ) from None


def _read(folder: Path, index: Row) -> tuple[Comparison, list[CaseRecord]]:
    stages = _read_stages(folder)
    updates: dict[str, list[UpdateRow]] = {}
    for row in _rows(folder, "updates"):
        run, update = row.pop("run"), int(row.pop("update"))
        metrics = {key: json.loads(value) for key, value in row.items() if value != ""}
        updates.setdefault(run, []).append(UpdateRow(stage=Stage.GRPO, update=update, metrics=metrics))
    cases, folders = [], {}
    for name, seeds in index["cases"].items():
        records = {
            int(seed): SeedRecord(
                stages=tuple(stages[run, Stage(stage)] for run, stage in about["stages"]),
                updates=tuple(updates.get(about["runs"][-1], [])),
                planned_updates=about["planned_updates"],
                origin=Origin(**about["origin"]),
                warnings=tuple(about.get("warnings", ())),
            )
            for seed, about in seeds.items()
        }
        folders[name] = {
            int(seed): tuple(folder / run for run in about["runs"]) for seed, about in seeds.items()
        }
        cases.append(CaseRecord(name=name, key=index["keys"][name], seeds=records))
    comparison = Comparison(
        folders=folders,
        **{key: index[key] for key in ("kind", "name", "question", "configs", "failures", "command")},
    )
    return comparison, cases


def _read_stages(folder: Path) -> dict[tuple[str, Stage], StageRecord]:
    results: dict[tuple[str, Stage], dict[str, SplitResult]] = {}
    for row in _rows(folder, "results"):
        figures = {key: json.loads(row[key]) for key in _RESULTS if key in row}
        found = results.setdefault((row["run"], Stage(row["stage"])), {})
        found[row["split"]] = SplitResult.from_json(figures)
    traces: dict[tuple[str, Stage], Traces] = {}
    for row in _rows(folder, "traces"):  # the samples of a problem follow each other
        of_split = traces.setdefault((row["run"], Stage(row["stage"])), {}).setdefault(row["split"], {})
        index = int(row["index"])
        of_split[index] = (*of_split.get(index, ()), _read_facts(row))
    return {
        (run, stage): StageRecord(
            folder=folder / run, stage=stage, results=found, traces=traces.get((run, stage), {})
        )
        for (run, stage), found in results.items()
    }


def _facts(facts: TraceFacts) -> Row:
    found: Row = {name: getattr(facts, name) for name in _FIELDS}
    return found | {
        "outcome": facts.outcome.value,
        **{name: "" if (flag := getattr(facts, name)) is None else int(flag) for name in _FLAGS},
    }


def _read_facts(row: Mapping[str, str]) -> TraceFacts:
    texts = {"problem": row["problem"], "outcome": Outcome(row["outcome"])}
    flags = {name: {"1": True, "0": False}.get(row.get(name, "")) for name in _FLAGS}
    numbers = {name: int(row[name]) for name in _FIELDS if name not in {*texts, *flags}}
    return TraceFacts(**texts, **flags, **numbers)  # type: ignore[arg-type]


def _stages(case: CaseRecord) -> list[StageRecord]:
    return [stage for record in case.seeds.values() for stage in record.stages]


def _names(comparison: Comparison) -> dict[Path, str]:
    """A name for every run folder: its own, or a number before it where two have the same."""
    chains = [chain for seeds in comparison.folders.values() for chain in seeds.values()]
    runs = list(dict.fromkeys(run for chain in chains for run in chain))
    own = [run.name for run in runs]
    return {
        run: run.name if own.count(run.name) == 1 else f"{place}-{run.name}" for place, run in enumerate(runs)
    }


def _cell(value: object) -> str:
    """A value as JSON, which reads back exactly."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write(folder: Path, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    data = file.getvalue().encode()
    plain, packed = folder / f"{name}.csv", folder / f"{name}.csv.gz"
    path, other = (packed, plain) if len(data) > _LARGE else (plain, packed)
    path.write_bytes(gzip.compress(data, mtime=0) if path is packed else data)
    other.unlink(missing_ok=True)


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    packed = folder / f"{name}.csv.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / f"{name}.csv").read_bytes()
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
