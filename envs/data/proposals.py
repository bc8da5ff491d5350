"""A file of proposed skipped solutions, for a person to edit.

In: a task that checks steps, built from data. Out: JSON Lines in Stride's own layout, one row for every row
that could be read, with the proposals in `skipped` and what was done, or why nothing was, in `note`. Traces
that the rows had stay.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.base import Env
from envs.data.columns import NOTE
from envs.data.inspection import Progress
from envs.data.report import DataReport
from envs.data.rows import Row, question_key
from envs.data.skip import Proposal, propose
from envs.problem import Problem

_NUMBER = re.compile(r"(?<![0-9.,])[0-9][0-9,]*+(?:\.[0-9]+)?+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was written.

    Attributes:
        num_rows: Rows of the file.
        num_proposed: Rows with a proposal.
        num_versions: Proposed solutions.
        num_steps: Steps of the full traces of the rows with a proposal.
        num_left: Steps of their shortest proposals.
        reasons: Number of rows without a proposal, by reason.
    """

    num_rows: int
    num_proposed: int
    num_versions: int
    num_steps: int
    num_left: int
    reasons: Mapping[str, int]


def write_proposals(
    env: Env[Any], report: DataReport, out: Path, *, progress: Progress | None = None
) -> Written:
    """Write the file.

    Args:
        env: The task; it checks steps.
        report: The rows that it was built from.
        out: The file, which must not exist.
        progress: Called with the number of rows done and their total.

    Raises:
        FileExistsError: The file exists.
        GraderError: The grader failed.
    """
    problems = _problems(env)
    faults: dict[tuple[str, int], str] = {}
    for fault in report.faults:
        faults.setdefault((fault.source, fault.number), fault.reason)
    reasons: Counter[str] = Counter()
    num_proposed = num_versions = num_steps = num_left = 0
    with out.open("x", encoding="utf-8") as file:
        for done, row in enumerate(report.rows, 1):
            problem = problems.get(row.question_key)
            reason = faults.get((row.source, row.number), "")
            if problem is None:
                found = Proposal(versions=(), num_steps=(), note=f"left out: {reason or 'a repeated question'}")
            elif not row.solution:
                found = Proposal(versions=(), num_steps=(), note="no full solution")
            else:
                found = propose(env, problem, row.solution)
            if found.versions:
                num_proposed += 1
                num_versions += len(found.versions)
                num_steps += found.num_steps[0]
                num_left += found.num_steps[-1]
            else:
                reasons[found.note.partition(":")[0]] += 1
            file.write(json.dumps(_record(row, found), ensure_ascii=False) + "\n")
            if progress is not None:
                progress(done, len(report.rows))
    return Written(
        num_rows=len(report.rows),
        num_proposed=num_proposed,
        num_versions=num_versions,
        num_steps=num_steps,
        num_left=num_left,
        reasons=dict(reasons.most_common()),
    )


def _problems(env: Env[Any]) -> dict[str, Problem]:
    found = (env.problem(split, index) for split in env.splits for index in range(env.num_problems(split) or 0))
    return {question_key(problem.question): problem for problem in found}


def _record(row: Row, found: Proposal) -> dict[str, Any]:
    skipped = dict.fromkeys((*row.skipped, *found.versions))
    record: dict[str, Any] = {
        "question": row.question,
        "answer": row.answer,
        "solution": _with_answer(row.solution, row.answer),
        "skipped": [_with_answer(lines, row.answer) for lines in skipped],
        "detours": [{"lines": list(one.lines), "wrong": sorted(one.wrong)} for one in row.detours],
        "level": row.level,
        "split": None if row.split is None else row.split.value,
        NOTE: found.note,
    }
    return {name: value for name, value in record.items() if value or name in ("question", "answer")}


def _with_answer(lines: Sequence[str], answer: str) -> list[str]:
    """The lines, with one more that states the answer unless the last one mentions it."""
    if not lines or any(number.replace(",", "") == answer for number in _NUMBER.findall(lines[-1])):
        return list(lines)
    return [*lines, f"#### {answer}"]
