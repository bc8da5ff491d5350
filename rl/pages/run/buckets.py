"""The report's section on buckets: accuracy of each, and what first went wrong there.

In: the results of every stage and split. Out: HTML, or nothing where no split has several buckets.
"""

from __future__ import annotations

from collections.abc import Mapping

from rl.pages.html import group_row, row_name, table, visible
from rl.pages.run.backtracks import Rows
from rl.runs.record import BucketResult
from rl.stats.format import ABSENT, number, percent


def by_bucket(results: Mapping[str, Rows]) -> str:
    """The section.

    Args:
        results: By split.
    """
    buckets: dict[tuple[str, str], dict[str, BucketResult]] = {}
    for split, found in results.items():
        for column, result in found:
            for bucket, row in result.buckets.items():
                buckets.setdefault((split, bucket), {})[column] = row
    if not buckets:
        return ""
    columns = list(dict.fromkeys(column for rows in buckets.values() for column in rows))
    heads = ["Bucket", "Problems", *(visible(row_name(column)) for column in columns)]
    lines = []
    for split in dict.fromkeys(split for split, _ in buckets):
        lines.append(group_row(split, len(heads)))
        for (_, bucket), rows in [item for item in buckets.items() if item[0][0] == split]:
            num = next(iter(rows.values())).num_problems
            values = "".join(f"<td>{_cell(rows.get(column))}</td>" for column in columns)
            lines.append(f'<tr><th scope="row">{visible(bucket)}</th><td>{number(num, 0)}</td>{values}</tr>')
    note = (
        '<p class="note">Correct, greedy; below it, where the task names its errors, the share of all problems '
        "whose first wrong line is of each kind.</p>"
    )
    return "<h2>By difficulty</h2>" + table(heads, lines) + note


def _cell(result: BucketResult | None) -> str:
    if result is None:
        return ABSENT
    errors = [f"{visible(name)} {percent(share)}" for name, share in result.errors.items() if share]
    return percent(result.accuracy) + "".join(f"<small>{error}</small>" for error in errors)
