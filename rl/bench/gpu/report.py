"""The results of the GPU run as one table and one JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rl.bench.gpu.figure import Figure, Setting
from rl.bench.gpu.run import PartResult
from rl.pages.text import text_table


def as_table(results: Sequence[PartResult]) -> str:
    """One row for each figure, and one for each part that did not end well."""
    rows = []
    for result in results:
        rows += [
            [result.part, figure.name, _value(figure), figure.unit, figure.bounds, _MARKS[figure.passed]]
            for figure in result.figures
        ]
        if result.state != "done":
            rows.append([result.part, f"{result.state}: {result.reason}", "", "", "", ""])
    return text_table(["part", "figure", "value", "unit", "bounds", "kept"], rows, num_left=2)


def as_json(results: Sequence[PartResult], setting: Setting) -> dict[str, Any]:
    """Everything, as plain JSON; `machine` has the card, the CPU, the driver, versions and the commit."""
    machine = {f.name: f.value for result in results if result.part == "machine" for f in result.figures}
    parts = [
        {
            **asdict(result),
            "passed": result.passed,
            "figures": [{**asdict(figure), "passed": figure.passed} for figure in result.figures],
        }
        for result in results
    ]
    return {**asdict(setting), "machine": machine, "parts": parts}


_MARKS = {True: "yes", False: "NO", None: ""}


def _value(figure: Figure) -> str:
    return figure.value if isinstance(figure.value, str) else f"{figure.value:,.4g}"
