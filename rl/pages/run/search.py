"""The searches of a run's report: what each stage solves by search (`eval.search`), at equal tokens.

In: a run folder and its evaluated stages. Out: figures and tables; nothing for a stage without a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl.pages.search.write import arm_table
from rl.pages.table import Table
from rl.runs.record import Stage
from rl.search.record import PAGE, has_search, problem_log, stage_folder, stage_settings
from rl.search.summary import LABELS, NO_SEARCH, Arm, arms


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSearch:
    """The search of a stage.

    Attributes:
        stage: The stage.
        arms: Its figures, as in `summary.csv`.
        table: The methods at equal tokens.
        page: Path of its own page beside the report; None before it is written.
    """

    stage: Stage
    arms: Sequence[Arm]
    table: Table
    page: str | None


def stage_searches(run: Path, stages: Iterable[Stage]) -> list[StageSearch]:
    """The searches of a run's stages, finished or not.

    Raises:
        RunFolderError: A file of one is damaged.
    """
    found = []
    for stage in stages:
        folder = stage_folder(run, stage)
        if not has_search(folder):
            continue
        search, rows = stage_settings(run, stage), problem_log(folder).read()
        made = arms(rows, search["merge"], depth=search["depth"])
        if made:
            page = (folder / PAGE).relative_to(run).as_posix() if (folder / PAGE).is_file() else None
            found.append(StageSearch(stage=stage, arms=made, table=arm_table(made), page=page))
    return found


def full_searches(found: Sequence[Arm], split: str) -> Mapping[str, Arm]:
    """The searches on a split at their full depth, by a name with strategy, N and b."""
    depth = max((arm.depth or 0 for arm in found), default=0)
    return {
        f"{LABELS[arm.method]}, N = {arm.breadth}, b = {arm.depth}": arm
        for arm in found
        if arm.split == split and arm.method not in NO_SEARCH and arm.depth == depth
    }
