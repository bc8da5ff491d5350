"""Which splits can be compared: those where every case met the same problems.

In: cases as read from their folders, and their configs. Out: the splits, and for every other one why not.
Problems are told by what was asked and what the answer is, index by index; where a run kept no completions,
by its config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rl.compare.results import CaseRecord, TraceFacts


def same_problems(
    cases: Sequence[CaseRecord], configs: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], dict[str, str]]:
    """Splits to compare, and reasons against the others.

    Args:
        cases: Cases, evaluated or not; those that are not have no say.
        configs: Config of each case.
    """
    evaluated = [case for case in cases if case.last()]
    splits = dict.fromkeys(
        split for case in evaluated for record in case.last().values() for split in record.results
    )
    reasons = {split: _against(split, evaluated, configs) for split in splits}
    return [split for split, why in reasons.items() if not why], {s: why for s, why in reasons.items() if why}


def _against(split: str, cases: Sequence[CaseRecord], configs: Mapping[str, Mapping[str, Any]]) -> str:
    without = [
        case.name for case in cases if not any(split in record.results for record in case.last().values())
    ]
    if without:
        return f"not evaluated by {', '.join(without)}"
    first, *others = cases
    for other in others:
        one, two = configs.get(first.name, {}), configs.get(other.name, {})
        nums = [(config.get("eval") or {}).get("num_problems") for config in (one, two)]
        if nums[0] != nums[1]:
            return f"{nums[0]} problems in {first.name}, {nums[1]} in {other.name} (eval.num_problems)"
        traces = [_any_traces(case, split) for case in (first, other)]
        if all(traces):
            differ = [
                i for i in traces[0].keys() & traces[1].keys() if traces[0][i].problem != traces[1][i].problem
            ]
            if differ:
                return f"problem {min(differ)} is another one in {other.name} than in {first.name} (env)"
        elif one.get("env") != two.get("env"):
            return f"{other.name} and {first.name} have other settings of env"
    return ""


def _any_traces(case: CaseRecord, split: str) -> Mapping[int, TraceFacts]:
    """The completions of one seed: all seeds of a case have the same problems."""
    return next(iter(case.traces(split).values()), {})
