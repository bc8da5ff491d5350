"""The report's section on difficulty cells: accuracy of each, and what first went wrong there.

In: the results of every stage and split. Out: HTML, or nothing where no split has several cells.
"""

from __future__ import annotations

from rl.pages.html import group_row, number, table, visible
from rl.pages.run.examples import percent
from rl.runs.record import Row, label


def by_cell(results: dict[str, dict[str, Row]]) -> str:
    """The section.

    Args:
        results: By split and stage, with the fields of `SplitResult`.
    """
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for split, found in results.items():
        for stage, result in found.items():
            for cell, row in (result.get("cells") or {}).items():
                cells.setdefault((split, cell), {})[stage] = row
    if not cells:
        return ""
    stages = list(dict.fromkeys(stage for rows in cells.values() for stage in rows))
    heads = ["Cell", "Problems", *(visible(label(stage)) for stage in stages)]
    lines = []
    for split in dict.fromkeys(split for split, _ in cells):
        lines.append(group_row(split, len(heads)))
        for (_, cell), rows in [item for item in cells.items() if item[0][0] == split]:
            num = next(iter(rows.values()))["num_problems"]
            values = "".join(f"<td>{_said(rows.get(stage))}</td>" for stage in stages)
            lines.append(f'<tr><th scope="row">{visible(cell)}</th><td>{number(num, 0)}</td>{values}</tr>')
    note = (
        '<p class="note">Correct, greedy; below it, where the task names its errors, the share of all problems '
        "whose first wrong line is of each kind.</p>"
    )
    return "<h2>By difficulty</h2>" + table(heads, lines) + note


def _said(row: Row | None) -> str:
    if row is None:
        return "–"
    errors = [f"{visible(name)} {percent(share)}" for name, share in (row.get("errors") or {}).items() if share]
    return percent(row["accuracy"]) + "".join(f"<small>{error}</small>" for error in errors)
