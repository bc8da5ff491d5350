"""Every figure of a comparison as CSV.

In: a `Study`. Out: one line for each case, stage, split and seed, with nested figures as `outer.inner`, and the
failures found there in the last column.
"""

from __future__ import annotations

import pandas as pd

from rl.compare.results import Entry
from rl.compare.study import Study


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
            }
            for entry, seed, result in found
        ]
    )
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
