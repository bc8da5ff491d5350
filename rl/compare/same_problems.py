"""Which splits can be compared, and on how many problems: those that all cases were evaluated on.

In: cases as read from their folders, and their configs. Out: the splits, the number of shared problems where
some cases have more, and a reason for every other split. Problems are the same if prompt and answer are, index
by index, or, where a run kept no completions, if the configs agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rl.compare.results import CaseRecord, TraceFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class SameProblems:
    """What can be compared.

    Attributes:
        splits: Splits on which all cases were evaluated on the same problems, or at least share the first ones.
        shared: Number of shared problems, for splits where some cases were evaluated on more.
        left_out: Reasons by the splits that cannot be compared.
    """

    splits: list[str]
    shared: dict[str, int]
    left_out: dict[str, str]


def same_problems(cases: Sequence[CaseRecord], configs: Mapping[str, Mapping[str, Any]]) -> SameProblems:
    """Find what can be compared.

    Args:
        cases: Cases; those without an evaluation are passed over.
        configs: Config of each case.
    """
    evaluated = [case for case in cases if case.last()]
    splits = dict.fromkeys(
        split for case in evaluated for record in case.last().values() for split in record.results
    )
    left_out = {split: why for split in splits if (why := _against(split, evaluated, configs))}
    nums = [num for case in evaluated if (num := num_problems(configs.get(case.name, {}))) is not None]
    kept = [split for split in splits if split not in left_out]
    shared = dict.fromkeys(kept, min(nums)) if len(set(nums)) > 1 else {}
    return SameProblems(splits=kept, shared=shared, left_out=left_out)


def num_problems(config: Mapping[str, Any]) -> int | None:
    """Problems a split that a config evaluates; None where it does not say."""
    found: int | None = (config.get("eval") or {}).get("num_problems")
    return found


def _against(split: str, cases: Sequence[CaseRecord], configs: Mapping[str, Mapping[str, Any]]) -> str:
    """The reason why a split cannot be compared; empty if it can."""
    without = [
        case.name for case in cases if not any(split in record.results for record in case.last().values())
    ]
    if without:
        return f"not evaluated by {', '.join(without)}"
    first, *others = cases
    for other in others:
        one, two = configs.get(first.name, {}), configs.get(other.name, {})
        if (how := [_is_greedy(case, split) for case in (first, other)]) in ([True, False], [False, True]):
            decoded, drawn = (first, other) if how[0] else (other, first)
            return f"decoded greedily in {decoded.name}, sampled in {drawn.name} (eval.greedy)"
        if (skipped := [_skipped(case, split) for case in (first, other)])[0] != skipped[1]:
            return (
                f"{skipped[0]} problems skipped in {first.name}, {skipped[1]} in {other.name} (prompts over "
                "rollout.max_prompt_tokens)"
            )
        traces = [_any_traces(case, split) for case in (first, other)]
        if num_problems(one) != num_problems(two) and not all(traces):
            return (
                f"{num_problems(one)} problems in {first.name}, {num_problems(two)} in {other.name} "
                "(eval.num_problems), and there are no completions to pick the shared ones from"
            )
        if all(traces):
            differ = [
                i
                for i in traces[0].keys() & traces[1].keys()
                if traces[0][i][0].problem != traces[1][i][0].problem
            ]
            if differ:
                return f"problem {min(differ)} differs between {first.name} and {other.name} (env)"
        elif one.get("env") != two.get("env"):
            return f"{first.name} and {other.name} have different env settings"
    return ""


def _is_greedy(case: CaseRecord, split: str) -> bool:
    return all(record.results[split].greedy for record in case.last().values() if split in record.results)


def _skipped(case: CaseRecord, split: str) -> int:
    return max(record.results[split].skipped for record in case.last().values() if split in record.results)


def _any_traces(case: CaseRecord, split: str) -> Mapping[int, Sequence[TraceFacts]]:
    """The completions of one seed: all seeds of a case have the same problems."""
    return next(iter(case.traces(split).values()), {})
