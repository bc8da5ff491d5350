"""The report's section on buckets: accuracy of each, and what first went wrong there.

In: the results of every stage and split. Out: HTML, or nothing where no split has several buckets.
"""

from __future__ import annotations

from rl.pages.html import group_row, number, table, visible
from rl.pages.run.examples import percent
from rl.runs.record import Row, label


def by_bucket(results: dict[str, dict[str, Row]]) -> str:
    """The section.

    Args:
        results: By split and stage, with the fields of `SplitResult`.
    """
    buckets: dict[tuple[str, str], dict[str, Row]] = {}
    for split, found in results.items():
        for stage, result in found.items():
            for bucket, row in (result.get("buckets") or {}).items():
                buckets.setdefault((split, bucket), {})[stage] = row
    if not buckets:
        return ""
    stages = list(dict.fromkeys(stage for rows in buckets.values() for stage in rows))
    heads = ["Bucket", "Problems", *(visible(label(stage)) for stage in stages)]
    lines = []
    for split in dict.fromkeys(split for split, _ in buckets):
        lines.append(group_row(split, len(heads)))
        for (_, bucket), rows in [item for item in buckets.items() if item[0][0] == split]:
            num = next(iter(rows.values()))["num_problems"]
            values = "".join(f"<td>{_said(rows.get(stage))}</td>" for stage in stages)
            lines.append(f'<tr><th scope="row">{visible(bucket)}</th><td>{number(num, 0)}</td>{values}</tr>')
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
