"""Draws the plots and prints the tables of docs/step_credit.md: kinds of step credit at equal sampled tokens.

    python docs/step_credit_front.py docs/step_credit_front.svg docs/results/credit_kinds ...

In: stored results (`stride ablate credit_kinds --store FOLDER`). Out: for each folder a row of plots and two
tables, of the samples of GRPO. The kinds of a seed are compared at the tokens of the one that sampled the
fewest; a figure after a share of these is the mean of the updates that began in the tenth of the tokens before
it. The start is the warm start, evaluated with samples.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from study_plots import svg_of_rows

from rl.compare.results import CaseRecord, SeedRecord
from rl.compare.stored import read_stored
from rl.pages.comparison.legend import case_style
from rl.pages.comparison.scatter import CasePoint, front_plot
from rl.pages.figures import Plot
from rl.runs.record import SplitResult, Stage
from rl.stats.intervals import mean_interval

HEIGHT = 216  # of a plot
EARLY, ALL, WINDOW = 0.25, 1.0, 0.1  # of the tokens
TRAILING = 3  # updates whose mean has to be as accurate as the start
FEWER = 0.75  # of the start's steps
GONE = 0.05  # of the first update's needless backtracks
AFTER = {EARLY: "after a quarter of the tokens", ALL: "after all tokens"}
SHORT = {EARLY: "¼", ALL: "all tokens"}
ACCURACY, STEPS, NEEDLESS = "accuracy", "steps_per_correct", "backtracks/needless"
TURNS, TAKEN_BACK = "wrong_turns", "wrong_turns/taken_back"
FIGURES = {  # name, and what one of it is there
    NEEDLESS: ("needless backtracks per sample", 1),
    STEPS: ("steps per right answer", 1),
    ACCURACY: ("right, %", 100),
    TURNS: ("wrong turns per sample", 1),
    TAKEN_BACK: ("of these taken back, %", 100),
}
PANELS = ((EARLY, NEEDLESS), (EARLY, STEPS), (ALL, STEPS))

Metrics = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of credit with one seed.

    Attributes:
        start: The warm start's figures on id.
        end: Those after GRPO.
        spent: Tokens sampled before each update, and in all.
        metrics: Of each update.
    """

    start: SplitResult
    end: SplitResult
    spent: Sequence[float]
    metrics: Sequence[Metrics]

    def after(self, tokens: float, window: float, figure: str) -> float:
        """The mean of a figure over the updates that began with so many tokens, or up to `window` fewer.

        The last update before if there is none; NaN where no sample has the figure.
        """
        updates = zip(self.spent, self.metrics, strict=False)
        known = [(before, row[figure]) for before, row in updates if figure in row and before <= tokens]
        near = [value for before, value in known if before > tokens - window]
        return fmean(near or [value for _, value in known[-1:]] or [math.nan])

    def first(self, holds: Callable[[Sequence[Metrics]], bool], num: int) -> str:
        """The first update at which it holds for the last `num` ones, and the thousands of tokens before it."""
        ends = range(num, len(self.metrics) + 1)
        found = next((end for end in ends if holds(self.metrics[end - num : end])), None)
        return "–" if found is None else f"{found} ({self.spent[found - 1] / 1000:.0f})"

    def has_none_needless(self, rows: Sequence[Metrics]) -> bool:
        """Whether few needless backtracks are left."""
        first = self.metrics[0].get(NEEDLESS, 0.0)
        return first > 0 and fmean(row.get(NEEDLESS, 0.0) for row in rows) <= GONE * first

    def is_as_accurate(self, rows: Sequence[Metrics]) -> bool:
        """Whether samples are as accurate as those of the start."""
        assert self.start.sampled_accuracy is not None
        return fmean(row[ACCURACY] for row in rows) >= self.start.sampled_accuracy

    def is_shorter(self, rows: Sequence[Metrics]) -> bool:
        """Whether they take a quarter fewer steps."""
        assert self.start.sampled_steps_per_correct is not None
        return fmean(row.get(STEPS, math.inf) for row in rows) <= FEWER * self.start.sampled_steps_per_correct

    @property
    def lowest(self) -> float:
        """The lowest mean accuracy of three updates, in percent."""
        found = [row[ACCURACY] for row in self.metrics]
        return 100 * min(fmean(found[end - TRAILING : end]) for end in range(TRAILING, len(found) + 1))


Study = Mapping[str, Mapping[int, Kind]]
"""Kinds by case and seed; differences are from the first case, paired by seed."""


def main(out: str, *folders: str) -> None:
    """Print the tables, write the plots."""
    rows = []
    for number, folder in enumerate(folders):
        comparison, cases = read_stored(Path(folder))
        study = {case.name: found for case in cases if (found := _kinds(case))}
        task = str(next(iter(comparison.configs.values()))["env"]["name"])
        tables = table(study, MAIN, REACHED), table(study, MORE, ENDS), start(study)
        sys.stdout.write("\n\n".join([task, *tables, ""]))
        shown = [case for case in cases if case.name in study]
        plots = [front(study, shown, *panel, f"credit{number}-{place}") for place, panel in enumerate(PANELS)]
        rows.append((task, [(case.key, case.name) for case in shown], plots))
    Path(out).write_text(svg_of_rows(rows, HEIGHT))


def _kinds(case: CaseRecord) -> dict[int, Kind]:
    """The seeds that have been evaluated after GRPO."""
    return {seed: _kind(record) for seed, record in case.seeds.items() if record.at(Stage.GRPO)}


def _kind(record: SeedRecord) -> Kind:
    start, end = record.at(Stage.WARM), record.at(Stage.GRPO)
    assert start is not None and end is not None
    metrics = [row.metrics for row in record.updates]
    spent = [0.0, *accumulate(row.get("tokens/sampled", 0.0) for row in metrics)]
    return Kind(start=start.results["id"], end=end.results["id"], spent=spent, metrics=metrics)


def values(study: Study, case: str, share: float, figure: str) -> dict[int, float]:
    """A figure by seed after a share of the tokens, for the seeds that have it."""
    scale = FIGURES[figure][1]
    found = {}
    for seed, kind in study[case].items():
        tokens = min(seeds[seed].spent[-1] for seeds in study.values() if seed in seeds)
        found[seed] = scale * kind.after(share * tokens, WINDOW * tokens, figure)
    return {seed: value for seed, value in found.items() if not math.isnan(value)}


def differences(study: Study, case: str, share: float, figure: str) -> list[float]:
    """What a case has more of a figure than the first one, by seed."""
    base, ours = (values(study, name, share, figure) for name in (next(iter(study)), case))
    return [ours[seed] - base[seed] for seed in ours if seed in base]


def aligned(study: Study, case: str, share: float, figure: str) -> list[float]:
    """A figure by seed, each seed moved to where the first case is the same in all seeds."""
    level = fmean(values(study, next(iter(study)), share, figure).values())
    return [level + less for less in differences(study, case, share, figure)]


def table(
    study: Study, figures: Sequence[tuple[float, str]], by_seed: Mapping[str, Callable[[Kind], str]]
) -> str:
    """A line for each case: means over seeds, differences and their 95 % intervals; then what seeds have."""
    base = next(iter(study))
    heads = [*(f"{FIGURES[figure][0]}, {SHORT[share]}" for share, figure in figures), *by_seed]
    lines = [f"| credit | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for case, kinds in study.items():
        cells = []
        for share, figure in figures:
            digits = 1 if FIGURES[figure][1] > 1 else 2
            known = [*values(study, case, share, figure).values()]
            cell = _interval(known, digits) if case == base else f"{fmean(known or [math.nan]):.{digits}f}"
            less = differences(study, case, share, figure)
            cells.append(cell if case == base or not less else f"{cell}; {_interval(less, digits, '+')}")
        cells = [cell.replace("-", "−") for cell in cells]
        cells += [", ".join(cell(kind) for kind in kinds.values()) for cell in by_seed.values()]
        lines.append(f"| `{case}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(found: Sequence[float], digits: int, sign: str = "") -> str:
    mean, low, high = mean_interval(found or [math.nan])
    middle = f"{mean:{sign}.{digits}f}"
    return middle if math.isnan(low) else f"{middle} ({low:.{digits}f} to {high:.{digits}f})"


MAIN = ((EARLY, NEEDLESS), (EARLY, ACCURACY), (ALL, NEEDLESS), (ALL, STEPS), (ALL, ACCURACY))
MORE = ((EARLY, TURNS), (EARLY, TAKEN_BACK), (ALL, TURNS), (ALL, TAKEN_BACK))
REACHED: dict[str, Callable[[Kind], str]] = {
    "update (thousand tokens) at 5 % of the needless backtracks": lambda kind: kind.first(
        kind.has_none_needless, 1
    ),
    "at the start's accuracy with as few": lambda kind: kind.first(
        lambda rows: kind.has_none_needless(rows) and kind.is_as_accurate(rows), TRAILING
    ),
    "at the start's accuracy with 25 % fewer steps": lambda kind: kind.first(
        lambda rows: kind.is_shorter(rows) and kind.is_as_accurate(rows), TRAILING
    ),
}
ENDS: dict[str, Callable[[Kind], str]] = {
    "updates (thousand tokens)": lambda kind: f"{len(kind.metrics)} ({kind.spent[-1] / 1000:.0f})",
    "at 25 % fewer steps": lambda kind: kind.first(kind.is_shorter, TRAILING),
    "lowest accuracy of three updates, %": lambda kind: f"{kind.lowest:.0f}",
    "evaluated: right, greedy": lambda kind: f"{100 * kind.end.accuracy:.1f}",
    "sampled": lambda kind: f"{100 * (kind.end.sampled_accuracy or 0.0):.1f}",
    "steps of right samples": lambda kind: f"{kind.end.sampled_steps_per_correct or math.nan:.2f}",
}


def start(study: Study) -> str:
    """The warm starts, by seed."""
    told = ", ".join(
        f"{100 * one.accuracy:.1f} greedy, {100 * (one.sampled_accuracy or 0.0):.1f} sampled, "
        f"{one.sampled_steps_per_correct or math.nan:.2f} steps"
        for one in (kind.start for kind in next(iter(study.values())).values())
    )
    return f"Start: {told}."


def front(study: Study, cases: Sequence[CaseRecord], share: float, figure: str, name: str) -> Plot:
    """Accuracy against a cost; bars are 95 % intervals of the differences from the first case."""
    points = []
    for place, case in enumerate(cases):
        costs, accuracies = (aligned(study, case.name, share, one) for one in (figure, ACCURACY))
        mean, low, high = mean_interval(accuracies)
        style = case_style(place)
        points.append(
            CasePoint(
                key=case.key,
                name=case.name,
                colour=style.colour,
                marker=style.marker,
                hollow=False,
                costs=tuple(costs),
                accuracies=tuple(accuracies),
                interval=(mean, mean) if math.isnan(low) else (max(0.0, low), min(100.0, high)),
            )
        )
    plot = front_plot(AFTER[share], FIGURES[figure][0], points, [], name)
    return Plot(title=AFTER[share], svg=plot.svg)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
