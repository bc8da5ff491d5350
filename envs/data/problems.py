"""From the rows of all splits to problems: one for each question.

In: the rows of each split. Out: rows with different questions, and a fault for every row that contradicts
another or leaks from one split to another. Rows that repeat a question with the same answer become one problem:
the solution with the most steps is its full trace, and shorter ones are skipped versions of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from envs.data.rows import FaultKind, Row, RowFault
from envs.problem import Split

# Held-out data stays as it is: a question that is also in train leaves train.
_KEPT_FIRST = (Split.ID, Split.OOD_EASY, Split.OOD_HARD, Split.TRAIN)
Agree = Callable[[Row, Row], bool]
CountSteps = Callable[[tuple[str, ...]], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """The problems of all splits.

    Attributes:
        rows: One row for each problem, in the order of the data.
        faults: Rows that are left out, and skipped traces without a full one.
        notes: What was joined, a line each.
    """

    rows: dict[Split, list[Row]]
    faults: list[RowFault]
    notes: list[str]


def join_rows(splits: Mapping[Split, Sequence[Row]], agree: Agree, count_steps: CountSteps) -> Joined:
    """Make one problem of all rows with the same question; spaces do not tell questions apart.

    Args:
        splits: The rows of each split.
        agree: Whether the answers of two rows are equal.
        count_steps: Number of steps of a trace.
    """
    same: dict[str, list[tuple[Split, Row]]] = {}
    for split in _KEPT_FIRST:
        for row in splits.get(split, ()):
            same.setdefault(row.question_key, []).append((split, row))
    joined = Joined(rows={split: [] for split in splits}, faults=[], notes=[])
    num_merged = num_dropped = 0
    for group in same.values():
        split, first = group[0]
        if (other := next((row for _, row in group[1:] if not agree(first, row)), None)) is not None:
            reason = f"another answer ({other.answer}) to the question of {first.where} ({first.answer})"
            joined.faults.append(other.fault(FaultKind.CONTRADICTION, f"{reason}: {other.question[:80]!r}"))
            continue
        kept = []
        for home, row in group:
            if home is split:
                kept.append(row)
            else:
                reason = f"a question that is also in {split} ({first.where}): {row.question[:80]!r}"
                joined.faults.append(row.fault(FaultKind.SPLITS, reason))
        row, dropped = _merge(kept, count_steps)
        num_merged += len(kept) - 1
        num_dropped += dropped
        if row.skipped and not row.solution:
            joined.faults.append(row.fault(FaultKind.NO_FULL, "skipped solutions without a full one"))
            row = replace(row, skipped=())
        joined.rows[split].append(row)
    if num_merged:
        text = f"{num_merged:,} rows repeat a question and are joined with its first row"
        if num_dropped:
            text += f"; {num_dropped:,} of their solutions are as long as another one and not used"
        joined.notes.append(text)
    return joined


def _merge(rows: Sequence[Row], count_steps: CountSteps) -> tuple[Row, int]:
    """One row with the traces of all, and the number of solutions that are no shorter than the full one."""
    first = rows[0]
    if len(rows) == 1:
        return first, 0
    solutions = _distinct(row.solution for row in rows if row.solution)
    full = max(solutions, key=count_steps, default=())
    length = count_steps(full) if full else 0
    others = [solution for solution in solutions if solution != full]
    shorter = [solution for solution in others if count_steps(solution) < length]
    skipped = [lines for row in rows for lines in row.skipped if not full or count_steps(lines) < length]
    merged = replace(
        first,
        solution=full,
        skipped=tuple(_distinct([*skipped, *shorter])),
        detours=tuple(dict.fromkeys(detour for row in rows for detour in row.detours)),
        level=max(row.level for row in rows),
    )
    return merged, len(others) - len(shorter)


def _distinct(traces: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(traces))
