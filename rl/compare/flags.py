"""Ways in which a trained model fails, each by its name.

In: a case as read from its runs. Out: a `Flag` for every failure that its figures show, with those figures. A
stage is judged by its own start: the same problems, greedy, before and after. Limits are constants with their
reasons; they are set so that what is flagged is worth a look, not so that nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from rewards import Outcome
from rl.compare.results import CaseRecord, TraceFacts
from rl.runs.record import UpdateRow
from rl.stats.format import percent
from rl.stats.paired import sign_test

RISE = 0.10
"""A share of traces that grew by this much is no accident: of 200 problems it is 20, over 4 standard errors."""

LOST_P = 0.01
"""Level of the exact sign test. Lower than 5 %, as every case, split and seed is tested."""

EMPTY_SHARE = 0.5
"""Share of traces without any step from which on reasoning counts as given up."""

NEEDED_BEFORE = 0.05
"""Needed backtracks per trace without which a task cannot be said to need any: one in 20 traces."""

NEEDED_LEFT = 0.2
"""What is left of them where they count as gone."""

USEFUL = 0.05
"""Share of sampled groups with a signal below which there was next to nothing to learn from: of 16, not one."""


class FlagKind(StrEnum):
    """What went wrong."""

    EMPTY = "collapse to empty reasoning"
    LOST = "accuracy lost"
    NO_ANSWER = "answers without closing line"
    TOO_LONG = "runs into the length limit"
    REPETITION = "repetition"
    NOT_VERIFIED = "steps not verified"
    NO_BACKTRACKS = "backtracks gone although needed"
    NOTHING_LEARNT = "nothing learnt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One failure of one seed.

    Example: `Flag(kind=FlagKind.LOST, split="id", seed=1, figures="correct 95.0 % → 61.0 %")`

    Attributes:
        kind: Which.
        split: Where; empty for what concerns the training as a whole.
        seed: Of the run.
        figures: What triggered it.
    """

    kind: FlagKind
    split: str
    seed: int
    figures: str


def case_flags(case: CaseRecord, splits: Sequence[str]) -> list[Flag]:
    """All failures of a case's last stage, kind by kind, split by split.

    Args:
        case: The case.
        splits: Splits to judge.
    """
    found = []
    for seed, record in case.seeds.items():
        found += [
            Flag(kind=kind, split="", seed=seed, figures=said) for kind, said in training_flags(record.updates)
        ]
        now = record.at(case.last_stage) if case.last_stage is not None else None
        then = record.before(now.stage) if now is not None else None
        if now is None or then is None:
            continue
        for split in splits:
            before, after = then.traces.get(split, {}), now.traces.get(split, {})
            needed = [
                (stage.results[split].needed_backtracks or 0.0) if split in stage.results else 0.0
                for stage in (then, now)
            ]
            seen = stage_flags(before, after, (needed[0], needed[1]))
            found += [Flag(kind=kind, split=split, seed=seed, figures=said) for kind, said in seen]
    kinds = list(FlagKind)
    return sorted(found, key=lambda flag: (kinds.index(flag.kind), ["", *splits].index(flag.split)))


def stage_flags(
    before: Mapping[int, TraceFacts], after: Mapping[int, TraceFacts], needed: tuple[float, float]
) -> list[tuple[FlagKind, str]]:
    """Failures that show between two stages, and what shows them.

    Reasoning that collapsed takes accuracy and backtracks with it, so these are not named a second time.

    Args:
        before: Completions of the stage it began with, by problem index.
        after: Completions of the stage to judge.
        needed: Needed backtracks per trace of both stages.
    """
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return []
    old, new = [before[index] for index in shared], [after[index] for index in shared]
    lost = sum(a.correct and not b.correct for a, b in zip(old, new, strict=True))
    won = sum(b.correct and not a.correct for a, b in zip(old, new, strict=True))
    fell = lost > won and sign_test(won, lost) < LOST_P
    correct = f"correct {_change([t.correct for t in old], [t.correct for t in new])}"
    found = []
    empty = [[not trace.steps for trace in traces] for traces in (old, new)]
    if fell and fmean(empty[1]) >= EMPTY_SHARE and fmean(empty[1]) - fmean(empty[0]) >= RISE:
        steps = f"{fmean(t.steps for t in old):.2f} → {fmean(t.steps for t in new):.2f}"
        said = f"traces without any step {_change(*empty)}, steps per trace {steps}, {correct}"
        found.append((FlagKind.EMPTY, said))
    elif fell:
        said = f"{correct}: {lost} problems lost, {won} won (exact sign test, p = {sign_test(won, lost):.1g})"
        found.append((FlagKind.LOST, said))
    shares: tuple[tuple[FlagKind, str, Callable[[TraceFacts], bool]], ...] = (
        (FlagKind.NO_ANSWER, "malformed", lambda trace: trace.outcome is Outcome.MALFORMED),
        (FlagKind.TOO_LONG, "cut off", lambda trace: trace.outcome is Outcome.TRUNCATED),
        (FlagKind.REPETITION, "traces that repeat lines", lambda trace: trace.repeats),
        (
            FlagKind.NOT_VERIFIED,
            "correct with a step invalid or missing",
            lambda trace: trace.outcome is Outcome.CORRECT,
        ),
    )
    for kind, what, fails in shares:
        judged = [[fails(trace) for trace in side] for side in (old, new)]
        if fmean(judged[1]) - fmean(judged[0]) >= RISE:
            found.append((kind, f"{what} {_change(*judged)}"))
    if (
        fell
        and FlagKind.EMPTY not in dict(found)
        and needed[0] >= NEEDED_BEFORE
        and needed[1] <= NEEDED_LEFT * needed[0]
    ):
        said = f"needed backtracks per trace {needed[0]:.2f} → {needed[1]:.2f}, {correct}"
        found.append((FlagKind.NO_BACKTRACKS, said))
    return found


def training_flags(updates: Sequence[UpdateRow]) -> list[tuple[FlagKind, str]]:
    """Failures that show in the log of GRPO."""
    logged = [row.metrics for row in updates]
    useful = [metrics["groups/useful_frac"] for metrics in logged if "groups/useful_frac" in metrics]
    if not useful or fmean(useful) >= USEFUL:
        return []
    causes = {key for metrics in logged for key in metrics if key.startswith("groups/all_")}
    shares = {cause: fmean(metrics.get(cause, 0.0) for metrics in logged) for cause in causes}
    said = f"{percent(fmean(useful))} of the sampled groups had a signal"
    if shares:
        cause = max(sorted(shares), key=lambda key: shares[key])
        said += f"; {percent(shares[cause])} were {cause.removeprefix('groups/').replace('_', ' ')}"
    return [(FlagKind.NOTHING_LEARNT, said)]


def by_kind(flags: Sequence[Flag]) -> dict[FlagKind, dict[str, list[Flag]]]:
    """Flags by kind and, within it, by split."""
    grouped: dict[FlagKind, dict[str, list[Flag]]] = {}
    for flag in flags:
        grouped.setdefault(flag.kind, {}).setdefault(flag.split, []).append(flag)
    return grouped


def where(by_split: Mapping[str, Sequence[Flag]]) -> str:
    """Where a failure was seen.

    Example: "id (seeds 0, 2), ood_easy (seed 1)"; what concerns no split has its seeds alone.
    """
    said = []
    for split, flags in by_split.items():
        seeds = f"seed{'s' * (len(flags) > 1)} {', '.join(str(flag.seed) for flag in flags)}"
        said.append(f"{split} ({seeds})" if split else seeds)
    return ", ".join(said)


def _change(before: Sequence[bool], after: Sequence[bool]) -> str:
    return f"{percent(fmean(before))} → {percent(fmean(after))}"
