"""Training failures by name: reward hacking, length collapse, repetition, entropy collapse and others.

In: a case as read from its runs. Out: a `Flag` for every failure that its figures show, with those figures. A
stage is compared with the stage it started from, on the same problems and decoded in the same way. Each limit
is a constant with its reason. A flag means that a run is worth a look; a run without flags may still have
failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

from rewards import Outcome
from rl.compare.results import CaseRecord, TraceFacts
from rl.runs.record import Stage, UpdateRow
from rl.stats.format import percent
from rl.stats.paired import sign_test

RISE = 0.10
"""Rise in a share of traces that is more than chance: 20 of 200 problems, more than 4 standard errors."""

REGRESSION_P = 0.01
"""Level of the exact sign test. It is below 5 % because every case, split and seed is tested."""

EMPTY_SHARE = 0.5
"""Length has collapsed if at least this share of traces has no step."""

NEEDED_BEFORE = 0.05
"""A task needs backtracks if it had at least this many needed ones per trace: one in 20 traces."""

NEEDED_LEFT = 0.2
"""Backtracking has collapsed if at most this share of the needed backtracks is left."""

USEFUL = 0.05
"""There was almost no signal if less than this share of sampled groups had one: less than one group of 16."""

MIN_UPDATES = 8
"""Fewest updates with which the first quarter of a training is compared with the last one."""

REWARD_ERRORS = 3.0
"""Rise of the training reward that is more than chance, in standard errors of the quarters' difference."""

ENTROPY_LEFT = 0.1
"""Entropy has collapsed if at most this share of the first quarter's is left."""

SOLVED = 0.9
"""Training accuracy from which low entropy is no failure, because little is left to explore."""


class FlagKind(StrEnum):
    """What went wrong, in the field's terms.

    Attributes:
        LENGTH_COLLAPSE: Most traces have no step, and accuracy fell.
        ACCURACY_REGRESSION: Fewer of the same problems are solved.
        REWARD_HACKING: The training reward rose while accuracy fell.
        FORMAT_COLLAPSE: More answers lack their closing line.
        TRUNCATION: More completions are cut off at the length limit.
        REPETITION: More traces repeat lines.
        UNVERIFIED_REASONING: More answers are right with an invalid or missing step.
        BACKTRACKING_COLLAPSE: Needed backtracks are gone, and accuracy fell.
        ENTROPY_COLLAPSE: The policy stopped exploring before it solved the task.
        NO_SIGNAL: Almost all groups had equal rewards (zero-variance groups).
    """

    LENGTH_COLLAPSE = "length collapse"
    ACCURACY_REGRESSION = "accuracy regression"
    REWARD_HACKING = "reward hacking"
    FORMAT_COLLAPSE = "format collapse"
    TRUNCATION = "truncation"
    REPETITION = "repetition"
    UNVERIFIED_REASONING = "unverified reasoning"
    BACKTRACKING_COLLAPSE = "backtracking collapse"
    ENTROPY_COLLAPSE = "entropy collapse"
    NO_SIGNAL = "no learning signal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One failure of one seed.

    Example: `Flag(kind=FlagKind.ACCURACY_REGRESSION, split="id", seed=1, figures="correct 95.0 % → 61.0 %")`

    Attributes:
        kind: The failure.
        split: The split that shows it; empty if it concerns the training as a whole.
        seed: Seed of the run.
        figures: The figures that show it.
    """

    kind: FlagKind
    split: str
    seed: int
    figures: str


def case_flags(case: CaseRecord, splits: Sequence[str]) -> list[Flag]:
    """All failures of a case's last stage, by kind and then by split.

    Args:
        case: The case.
        splits: Splits to judge.
    """
    found = []
    for seed, record in case.seeds.items():
        found += [
            Flag(kind=kind, split="", seed=seed, figures=figures)
            for kind, figures in training_flags(record.updates)
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
            if now.stage is Stage.GRPO:
                seen += reward_hacking(record.updates, dict(seen))
            found += [Flag(kind=kind, split=split, seed=seed, figures=figures) for kind, figures in seen]
    kinds = list(FlagKind)
    return sorted(found, key=lambda flag: (kinds.index(flag.kind), ["", *splits].index(flag.split)))


def stage_flags(
    before: Mapping[int, Sequence[TraceFacts]],
    after: Mapping[int, Sequence[TraceFacts]],
    needed: tuple[float, float],
) -> list[tuple[FlagKind, str]]:
    """Failures that show between two stages, with their figures.

    After a length collapse the loss of accuracy and of backtracks is not flagged too: it follows from it.

    Args:
        before: Completions of the stage before, by problem index.
        after: Completions of the stage to judge.
        needed: Needed backtracks per trace of both stages.
    """
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return []
    gains = [_share_right(after[index]) - _share_right(before[index]) for index in shared]
    lost, won = sum(gain < 0 for gain in gains), sum(gain > 0 for gain in gains)
    old, new = [[trace for index in shared for trace in side[index]] for side in (before, after)]
    fell = lost > won and sign_test(won, lost) < REGRESSION_P
    correct = f"correct {_change([t.correct for t in old], [t.correct for t in new])}"
    found = []
    empty = [[not trace.steps for trace in traces] for traces in (old, new)]
    if fell and fmean(empty[1]) >= EMPTY_SHARE and fmean(empty[1]) - fmean(empty[0]) >= RISE:
        steps = f"{fmean(t.steps for t in old):.2f} → {fmean(t.steps for t in new):.2f}"
        figures = f"traces without any step {_change(*empty)}, steps per trace {steps}, {correct}"
        found.append((FlagKind.LENGTH_COLLAPSE, figures))
    elif fell:
        p = sign_test(won, lost)
        figures = f"{correct}: {lost} problems lost, {won} won (exact sign test, p = {p:.1g})"
        found.append((FlagKind.ACCURACY_REGRESSION, figures))
    shares: tuple[tuple[FlagKind, str, Callable[[TraceFacts], bool]], ...] = (
        (
            FlagKind.FORMAT_COLLAPSE,
            "malformed (no closing line)",
            lambda trace: trace.outcome is Outcome.MALFORMED,
        ),
        (FlagKind.TRUNCATION, "cut off at the length limit", lambda trace: trace.outcome is Outcome.TRUNCATED),
        (FlagKind.REPETITION, "traces that repeat lines", lambda trace: trace.repeats),
        (
            FlagKind.UNVERIFIED_REASONING,
            "correct with a step invalid or missing",
            lambda trace: trace.steps_checked and trace.outcome is Outcome.CORRECT,
        ),
    )
    for kind, what, fails in shares:
        judged = [[fails(trace) for trace in side] for side in (old, new)]
        if fmean(judged[1]) - fmean(judged[0]) >= RISE:
            found.append((kind, f"{what} {_change(*judged)}"))
    if (
        fell
        and FlagKind.LENGTH_COLLAPSE not in dict(found)
        and needed[0] >= NEEDED_BEFORE
        and needed[1] <= NEEDED_LEFT * needed[0]
    ):
        figures = f"needed backtracks per trace {needed[0]:.2f} → {needed[1]:.2f}, {correct}"
        found.append((FlagKind.BACKTRACKING_COLLAPSE, figures))
    return found


def _share_right(samples: Sequence[TraceFacts]) -> float:
    return fmean(trace.correct for trace in samples)


def training_flags(updates: Sequence[UpdateRow]) -> list[tuple[FlagKind, str]]:
    """Failures that show in the log of GRPO, with their figures."""
    return [*_no_signal(updates), *_entropy_collapse(updates)]


def reward_hacking(updates: Sequence[UpdateRow], seen: Mapping[FlagKind, str]) -> list[tuple[FlagKind, str]]:
    """Reward hacking: the training reward rose although the evaluation lost accuracy.

    Args:
        updates: The updates of GRPO.
        seen: Failures of the evaluation after it, with their figures.
    """
    first, last = _quarters(updates, "reward")
    fell = seen.get(FlagKind.ACCURACY_REGRESSION) or seen.get(FlagKind.LENGTH_COLLAPSE)
    if not first or fell is None:
        return []
    error = math.hypot(stdev(first) / math.sqrt(len(first)), stdev(last) / math.sqrt(len(last)))
    if fmean(last) - fmean(first) <= REWARD_ERRORS * error:
        return []
    figures = f"training reward {fmean(first):.2f} → {fmean(last):.2f} (first and last quarter), {fell}"
    return [(FlagKind.REWARD_HACKING, figures)]


def _entropy_collapse(updates: Sequence[UpdateRow]) -> list[tuple[FlagKind, str]]:
    first, last = _quarters(updates, "entropy")
    _, accuracy = _quarters(updates, "accuracy")
    if not first or not accuracy or fmean(accuracy) >= SOLVED:
        return []
    if fmean(last) > ENTROPY_LEFT * fmean(first):
        return []
    figures = f"entropy per token {fmean(first):.3f} → {fmean(last):.3f} nats (first and last quarter)"
    return [(FlagKind.ENTROPY_COLLAPSE, f"{figures}, training accuracy {percent(fmean(accuracy))}")]


def _quarters(updates: Sequence[UpdateRow], name: str) -> tuple[list[float], list[float]]:
    """A metric in the first and in the last quarter of the updates; empty if there are too few."""
    values = [row.metrics[name] for row in updates if name in row.metrics]
    if len(values) < MIN_UPDATES:
        return [], []
    num = len(values) // 4
    return values[:num], values[-num:]


def _no_signal(updates: Sequence[UpdateRow]) -> list[tuple[FlagKind, str]]:
    logged = [row.metrics for row in updates]
    useful = [metrics["groups/useful_frac"] for metrics in logged if "groups/useful_frac" in metrics]
    if not useful or fmean(useful) >= USEFUL:
        return []
    causes = {key for metrics in logged for key in metrics if key.startswith("groups/all_")}
    shares = {cause: fmean(metrics.get(cause, 0.0) for metrics in logged) for cause in causes}
    figures = f"{percent(fmean(useful))} of the sampled groups had a signal"
    if shares:
        cause = max(sorted(shares), key=lambda key: shares[key])
        figures += f"; {percent(shares[cause])} were {cause.removeprefix('groups/').replace('_', ' ')}"
    return [(FlagKind.NO_SIGNAL, figures)]


def by_kind(flags: Sequence[Flag]) -> dict[FlagKind, dict[str, list[Flag]]]:
    """Flags by kind, and those of a kind by split."""
    grouped: dict[FlagKind, dict[str, list[Flag]]] = {}
    for flag in flags:
        grouped.setdefault(flag.kind, {}).setdefault(flag.split, []).append(flag)
    return grouped


def where(by_split: Mapping[str, Sequence[Flag]]) -> str:
    """The splits and seeds on which a failure shows.

    Example: "id (seeds 0, 2), ood_easy (seed 1)"; a failure of the training as a whole has seeds only.
    """
    places = []
    for split, flags in by_split.items():
        seeds = f"seed{'s' * (len(flags) > 1)} {', '.join(str(flag.seed) for flag in flags)}"
        places.append(f"{split} ({seeds})" if split else seeds)
    return ", ".join(places)


def _change(before: Sequence[bool], after: Sequence[bool]) -> str:
    return f"{percent(fmean(before))} → {percent(fmean(after))}"
