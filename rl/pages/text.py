"""Result tables as text; the one a run ends with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rl.runs.record import SplitResult

_COLUMNS = (
    "stage",
    "split",
    "accuracy",
    "95 % interval",
    "steps/correct",
    "full",
    "saved",
    "backtracks",
    "tokens",
)


def result_table(results: Iterable[tuple[str, Mapping[str, SplitResult]]]) -> str:
    """Results as aligned text.

    Args:
        results: Names of stages or models with their results by split, as `Summary.stages.items()`.
    """
    rows = [list(_COLUMNS)]
    for stage, splits in results:
        for split, result in splits.items():
            rows.append([stage, split, *_cells(result)])
    return aligned(rows, num_left=2)


def aligned(rows: Sequence[Sequence[str]], *, num_left: int) -> str:
    """Rows as columns, a line under the first one; the first `num_left` columns begin at their left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i < num_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)


def _cells(result: SplitResult) -> list[str]:
    saved = result.steps_saved
    return [
        f"{result.accuracy:.3f}",
        f"{result.accuracy_low:.3f}-{result.accuracy_high:.3f}",
        _number(result.steps_per_correct),
        _number(result.full_steps_per_correct),
        "-" if saved is None else f"{saved:.1%}",
        f"{result.backtracks:.2f}",
        f"{result.tokens:.1f}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
