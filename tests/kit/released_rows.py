"""The tasks of step skipping against rows in their released layout, line by line.

`python -m tests.kit.released_rows FOLDER` prints a table for the authors' files: FOLDER has them in MA
(addition), DR (directional) and AOA (algebra). A trace must have as many steps as ours, and every line must
verify. The exit code is 1 if one does not, other than by the known slip of the OOD files of addition
(`AdditionWording`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs import Grade, Problem, Split, Verdict, make_env
from envs.data.rows import Row
from envs.released.env import ReleasedEnv
from envs.released.layout import read_released

TASKS = {"MA": "addition", "DR": "directional", "AOA": "algebra"}
HEADS = (
    *("file", "rows", "problems", "full traces", "our steps", "our moves", "lines", "valid"),
    *("skipped", "verify", "slips"),
)


@dataclass(kw_only=True)
class Figures:
    """What one file holds.

    Attributes:
        rows: Rows.
        problems: Rows with a question that can be read and worked out, and the right answer.
        full: Full traces.
        equal_steps: Those with as many steps as ours.
        equal_moves: Those whose lines are ours; in algebra their left sides, since the authors multiply out.
        lines: Lines of full traces.
        valid: Those that are valid steps of a verified trace, or valid by themselves.
        skipped: Skipped traces.
        skipped_verified: Those that verify, with fewer steps than the full trace.
        slips: Full traces with wrong carries in.
        faults: What does not hold, in words.
    """

    rows: int = 0
    problems: int = 0
    full: int = 0
    equal_steps: int = 0
    equal_moves: int = 0
    lines: int = 0
    valid: int = 0
    skipped: int = 0
    skipped_verified: int = 0
    slips: int = 0
    faults: list[str] = field(default_factory=list)


def figures(env: ReleasedEnv[Any], file: Path) -> Figures:
    """Judge all rows of a file."""
    reading = read_released(str(file), env.wording)
    found = Figures(rows=len({one.number for one in (*reading.rows, *reading.faults)}))
    found.faults += map(str, reading.faults)
    for row in reading.rows:
        try:
            draw = env.pose(row.question)
        except ValueError as error:
            found.faults.append(f"{row.where}: {error}")
            continue
        problem = env.as_problem(draw, Split.TRAIN, 0, None)
        if env.grade_answer(problem, row.answer) is not Grade.CORRECT:
            found.faults.append(f"{row.where}: the answer is {row.answer!r}, but it should be {draw.answer!r}")
            continue
        found.problems += 1
        _judge(env, problem, row, found)
    return found


def _judge(env: ReleasedEnv[Any], problem: Problem, row: Row, found: Figures) -> None:
    ours = env.write_full(problem)
    for lines in row.skipped:
        found.skipped += 1
        verified = env.check_demonstration(problem, lines).verified and len(lines) < len(ours)
        found.skipped_verified += verified
        if not verified:
            found.faults.append(f"{row.where}: the skipped trace is not verified")
    if not row.solution:
        return
    trace = env.check_demonstration(problem, row.solution)
    found.full += 1
    found.equal_steps += len(row.solution) == len(ours)
    found.equal_moves += [_move(line) for line in row.solution] == [_move(line) for line in ours]
    found.lines += len(row.solution)
    found.valid += sum(step.verdict is Verdict.VALID for step in trace.steps)
    if not trace.verified:
        slip = env.wording.is_known_slip(row.solution, ours)
        found.slips += slip
        why = next((step.reason for step in trace.steps if step.reason), "it does not reach the end")
        found.faults += [] if slip else [f"{row.where}: {why}"]
    elif len(row.solution) != len(ours):
        found.faults.append(f"{row.where}: {len(row.solution)} steps, ours has {len(ours)}")


def _move(line: str) -> str:
    return line.partition(" → ")[0]


def all_figures(folder: Path) -> Iterator[tuple[str, Figures]]:
    """The figures of every file, with its name."""
    for part, task in TASKS.items():
        env = make_env(task)
        assert isinstance(env, ReleasedEnv)
        for file in sorted((folder / part).glob("*.jsonl")):
            yield f"{part}/{file.name}", figures(env, file)


def main(argv: list[str]) -> int:
    """Print the table, and the first faults of each file."""
    if len(argv) != 1:
        print("usage: python -m tests.kit.released_rows FOLDER", file=sys.stderr)
        return 2
    rows, faults = [HEADS], []
    for name, found in all_figures(Path(argv[0])):
        counts = [value for value in vars(found).values() if isinstance(value, int)]
        rows.append((name, *(f"{count:,}" for count in counts)))
        faults += found.faults
    if len(rows) == 1:
        print(f"{argv[0]} has no JSONL files in {', '.join(TASKS)}", file=sys.stderr)
        return 2
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
            )
        )
    for fault in faults[:20]:
        print(fault)
    print(f"{len(faults):,} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
