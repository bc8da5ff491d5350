"""Problems and traces as files in the released layout, which `env.settings.files` reads too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.problem import Problem, Split
from envs.released.env import BY_HAND, ReleasedEnv
from envs.released.layout import write_record
from envs.seeding import derive_random

FILES = {
    Split.TRAIN: "train.jsonl",
    Split.ID: "id_test.jsonl",
    Split.OOD_EASY: "ood_easy.jsonl",
    Split.OOD_HARD: "ood_hard.jsonl",
}
_MAX_REPEATS = 50  # draws for each problem that is wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A file that was written.

    Attributes:
        path: The file.
        num_problems: Number of problems in it, all different.
        num_skipped: Number of skipped versions beside them.
    """

    path: Path
    num_problems: int
    num_skipped: int


def write_files(
    env: ReleasedEnv[Any],
    folder: Path,
    *,
    num_problems: int,
    skip_kind: str | None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Written]:
    """Write a file for each split; every problem of train that a rule applies to has a skipped version too.

    Args:
        env: The task.
        folder: An existing folder.
        num_problems: Different problems of each split that is drawn; fewer where the buckets hold fewer.
        Splits of
            files are written whole.
        skip_kind: The hand-skip rule, one of `env.skip_kinds`; None writes no skipped versions.
        progress: Called with the number of problems done and their total.

    Raises:
        FileExistsError: The folder has one of the files already.
    """
    sizes = {split: env.num_problems(split) or num_problems for split in Split}
    done, written = 0, []
    for split, size in sizes.items():
        num_skipped = found = 0
        with (folder / FILES[split]).open("x", encoding="utf-8") as file:
            for problem in _problems(env, split, size):
                versions = _skipped(env, problem, skip_kind) if split is Split.TRAIN else ()
                for lines in (env.full_trace(problem), *versions):
                    name, skipped = f"{env.bucket(problem)}/{found}", len(lines) < problem.num_full_steps
                    record = write_record(problem, lines, env.wording, name=name, skipped=skipped)
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                num_skipped += len(versions)
                found += 1
                done += 1
                if progress is not None:
                    progress(done, sum(sizes.values()))
        written.append(Written(path=folder / FILES[split], num_problems=found, num_skipped=num_skipped))
    return written


def _problems(env: ReleasedEnv[Any], split: Split, size: int) -> Iterator[Problem]:
    """The first problems of a split that differ."""
    seen: set[str] = set()
    for index in range(size * _MAX_REPEATS):
        problem = env.problem(split, index)
        if problem.question not in seen:
            seen.add(problem.question)
            yield problem
        if len(seen) == size:
            return


def _skipped(env: ReleasedEnv[Any], problem: Problem, kind: str | None) -> tuple[tuple[str, ...], ...]:
    if kind is None:
        return ()
    if kind == BY_HAND:
        return env.by_hand(problem)
    rng = derive_random("export", env.name, kind, problem.question)
    lines = env.skipped_trace(problem, kind, rng)
    return () if lines is None else (lines,)
