"""What becomes of rows with faults: `on_bad_rows` is `refuse`, which starts no run, or `skip`."""

from __future__ import annotations

from typing import Literal

from envs.data.report import BadRowsError, DataReport
from envs.data.rows import describe_faults

OnBadRows = Literal["refuse", "skip"]

_NOTED = 3  # faults that the note of a run lists


def settle(report: DataReport, policy: OnBadRows, num_kept: int) -> tuple[str, ...]:
    """Apply a policy to the faults of a report.

    Args:
        report: The rows and their faults.
        policy: `refuse` or `skip`.
        num_kept: Number of problems that the sound rows make.

    Returns:
        A note that says what is left out; none without faults.

    Raises:
        BadRowsError: The policy is `refuse` and there are faults, or no row is left.
    """
    faults = report.faults
    if not faults:
        return ()
    if policy == "refuse":
        bad = {(fault.source, fault.number) for fault in faults}
        raise BadRowsError(
            f"{len(bad):,} of {sum(report.num_rows.values()):,} rows are refused: {describe_faults(faults)}. "
            "Correct them, or leave them out with env.settings.on_bad_rows: skip",
            report,
        )
    if not num_kept:
        raise BadRowsError(f"no row can be used: {describe_faults(faults)}", report)
    return (f"left out, {num_kept:,} problems stay: {describe_faults(faults, max_listed=_NOTED)}",)
