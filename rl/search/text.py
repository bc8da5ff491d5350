"""The figures of searches as text tables, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rl.pages.text import text_table
from rl.runs.analysis import read_settings
from rl.runs.record import Stage
from rl.search.record import has_search, problem_log, stage_folder
from rl.search.summary import BEST_OF_N, LABELS, MAJORITY, SYMBOLIC, Arm, arms, beside
from rl.stats.format import bare_percent

_HEAD = (
    "split",
    "method",
    "correct",
    "interval",
    "verified",
    "any right",
    "tokens",
    "best of N",
    "majority",
    "symbolic",
)


def search_text(folder: Path) -> str:
    """Accuracy in percent and tokens a problem of every search, then the other methods with as many tokens.

    Args:
        folder: The folder of a search.
    """
    settings = read_settings(folder, "search")["search"]
    rows = problem_log(folder).read()
    if not rows:
        return "no problem was solved: the prompts of all are over rollout.max_prompt_tokens"
    found = beside(arms(rows, settings["merge"], depth=settings["depth"]))
    return text_table(_HEAD, [_line(arm, others) for arm, others in found], num_left=2)


def stage_searches_text(run: Path, stages: Iterable[Stage]) -> str:
    """The same for the stages of a run that were evaluated by search; empty without one."""
    found = [(stage, stage_folder(run, stage)) for stage in stages]
    return "\n\n".join([f"{stage.label}, search\n{search_text(at)}" for stage, at in found if has_search(at)])


def _line(arm: Arm, others: Mapping[str, Arm]) -> list[str]:
    setting = "" if arm.breadth is None else f", N = {arm.breadth}, b = {arm.depth}"
    return [
        arm.split,
        f"{LABELS[arm.method]}{setting}",
        bare_percent(arm.accuracy),
        f"{100 * arm.low:.1f}-{100 * arm.high:.1f}",
        "-" if arm.verified is None else bare_percent(arm.verified),
        bare_percent(arm.covered),
        f"{arm.tokens:.0f}",
        *[
            bare_percent(others[method].accuracy) if method in others else "-"
            for method in (BEST_OF_N, MAJORITY, SYMBOLIC)
        ],
    ]
