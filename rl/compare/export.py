"""Every figure of a comparison as CSV.

In: a `Study`. Out: one line for each case, stage, split and seed, with nested figures as `outer.inner`, and the
failures found there in the last column. `steps_checked` says of each line whether steps were checked or only
counted; if no line has checked steps, the columns that judge them are left out.
"""

from __future__ import annotations

import pandas as pd

from rl.compare.results import Entry
from rl.compare.study import Study
from rl.runs.record import JUDGING


def comparison_csv(study: Study) -> str:
    """The comparison as CSV text."""
    found = [(entry, seed, result) for entry in study.entries for seed, result in entry.results.items()]
    table = pd.json_normalize(
        [
            {
                "cases": " ".join(entry.cases),
                "stage": entry.stage.value,
                "split": entry.split,
                "seed": seed,
                **result.to_json(),
                "steps_checked": result.steps_checked,
            }
            for entry, seed, result in found
        ]
    )
    if not any(result.steps_checked for *_, result in found):
        table = table.drop(columns=list(JUDGING), errors="ignore")
    table["flags"] = [_flags(study, entry, seed) for entry, seed, _ in found]
    csv: str = table.to_csv(index=False)
    return csv


def _flags(study: Study, entry: Entry, seed: int) -> str:
    """Failures of a case's last stage; a failure of a whole training stands on each of its splits."""
    lasts = {case.name: case.last_stage for case in study.cases}
    found = [
        flag.kind.value
        for case in entry.cases
        if lasts[case] == entry.stage
        for flag in study.flags[case]
        if flag.seed == seed and flag.split in ("", entry.split)
    ]
    return "; ".join(dict.fromkeys(found))
