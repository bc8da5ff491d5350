"""The answer of a comparison, in a few sentences and figures: the top of its page.

In: a `Study`. Out: the answer, headline figures, cases with the same results, and where the runs come from, as
data for the template. Everything is judged on the first split.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from rl.compare.results import CaseRecord, Figure, Origin, same_results
from rl.compare.study import CaseDifference, Study
from rl.pages.figures import Fact, Tile
from rl.pages.run.origin import viewer_command
from rl.pages.steps import are_checked, worded
from rl.runs.record import SplitResult, planned_stages
from rl.stats.format import number, percent

_MARGIN = 0.05
"""How much less accurate than the baseline a case may be whose steps are praised."""
_FEWEST = f"Fewest steps within {100 * _MARGIN:.0f} points of the baseline's accuracy"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Standing:
    """A case on the first split: means over seeds, and its difference to the baseline (which has None).

    All cases of a split are decoded in the same way.
    """

    case: CaseRecord
    accuracy: float
    steps: float | None
    greedy: bool
    checked: bool
    difference: CaseDifference | None

    @property
    def name(self) -> str:
        return f"{self.case.key} {self.case.name}"

    def keeps_accuracy(self, base: _Standing) -> bool:
        """Whether its mean accuracy is not far below the baseline's, and not lower by more than noise.

        With few seeds an interval can hold any difference, so that noise alone would excuse a collapse.
        """
        found = self.difference
        is_lower = found is not None and found.found[0] is not None and found.found[0].mean < 0
        is_sure = found is not None and found.exceeds[0]
        return self.accuracy >= base.accuracy - _MARGIN and not (is_lower and is_sure)


def answer(study: Study) -> str:
    """The most accurate case, and the one with the fewest steps that does not lose accuracy."""
    standings = _standings(study)
    if not standings:
        return ""
    split, base = study.splits[0], standings[0]
    best = max(standings, key=lambda one: one.accuracy)
    if len(standings) == 1:
        return f"{base.name}{'' if base.greedy else ', sampled'}: {_figures(base)} on {split}."
    if best is base:
        sentences = [f"No case is more accurate on {split} than the baseline, {base.name}: {_figures(base)}."]
    else:
        sure = best.difference is not None and best.difference.exceeds[0]
        noise = "more than noise" if sure else "within noise"
        sentences = [
            f"Most accurate on {split}: {best.name}, {_figures(best)}; the baseline, {base.name}, "
            f"{_figures(base)} (difference {noise})."
        ]
    short = _shortest(standings)
    if short is not None and short is not best:
        sentences.append(f"{_FEWEST}: {short.name}, {_figures(short)}.")
    if not base.greedy:
        sentences.append("Accuracy is the mean over all samples of each problem.")
    return " ".join(sentences)


def tiles(study: Study) -> list[Tile]:
    """Best accuracy, fewest steps, how many cases failed, and how much was run."""
    standings = _standings(study)
    if not standings:
        return []
    split, base = study.splits[0], standings[0]
    best, short = max(standings, key=lambda one: one.accuracy), _shortest(standings)
    flagged = [case.key for case in study.cases if study.flags[case.name]]
    runs = sum(len(case.seeds) for case in study.cases)
    made = [
        Tile(
            name=f"Highest accuracy on {split}",
            figure=percent(best.accuracy),
            notes=(best.name, f"baseline: {percent(base.accuracy)}", *(() if base.greedy else ("sampled",))),
        )
    ]
    if short is not None:
        notes = (short.name, f"baseline: {number(base.steps)}")
        made.append(Tile(name=_FEWEST, figure=number(short.steps), notes=notes))
    failed = ", ".join(flagged) if flagged else "none found"
    made.append(
        Tile(name="Cases with a failure", figure=f"{len(flagged)} of {len(study.cases)}", notes=(failed,))
    )
    seeds = ", ".join(map(str, study.comparison.seeds))
    made.append(Tile(name="Runs", figure=str(runs), notes=(f"{len(study.cases)} cases, seeds {seeds}",)))
    return made


def identical(study: Study) -> list[tuple[str, ...]]:
    """Groups of cases with the same results on every seed and problem."""
    groups: list[list[CaseRecord]] = []
    for case in study.cases:
        fits = [group for group in groups if same_results(group[0], case)]
        if fits:
            fits[0].append(case)
        else:
            groups.append([case])
    return [tuple(f"{case.key} {case.name}" for case in group) for group in groups if len(group) > 1]


def origins(study: Study) -> list[Origin]:
    """Where the runs that have started come from."""
    found = [record.origin for case in study.cases for record in case.seeds.values()]
    return [origin for origin in found if origin.folder]


def dates(study: Study) -> str:
    """The days on which runs started: one, or the first and the last."""
    days = sorted({origin.started[:10] for origin in origins(study) if origin.started})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""


def revisions(study: Study) -> list[str]:
    """Revisions of the code, shortened."""
    return list(dict.fromkeys(origin.revision[:7] for origin in origins(study) if origin.revision))


def next_steps(study: Study) -> list[Fact]:
    """The best case's model, and commands for the viewer and for the same runs again."""
    standings = _standings(study)
    facts = []
    if standings:
        best = max(standings, key=lambda one: one.accuracy).case
        seed, stage = next(iter(best.last().items()))
        pair = [study.cases[0].seeds.get(seed), best.seeds[seed]]
        folders = list(
            dict.fromkeys(one.origin.folder for one in pair if one is not None and one.origin.folder)
        )
        if best.seeds[seed].origin.folder:
            config = study.comparison.configs.get(best.name, {})
            path = f"{best.seeds[seed].origin.folder}/models/{stage.stage.value}"
            if not planned_stages(config):  # the run only evaluates a model
                path = str((config.get("policy") or {}).get("model"))
            more = f" ({best.key} {best.name}, seed {seed})"
            facts.append(Fact(name="Most accurate model", text=path, is_code=True, more=more))
        if folders:
            command = viewer_command(folders)
            facts.append(Fact(name="Read the completions", text=command, is_code=True))
    if study.comparison.command:
        facts.append(Fact(name="Run it again", text=study.comparison.command, is_code=True))
    return facts


def _standings(study: Study) -> list[_Standing]:
    if not study.splits:
        return []
    split = study.splits[0]
    found = {one.case.name: one for one in study.differences() if one.split == split}
    made = []
    for case in study.cases:
        results = [record.results[split] for record in case.last().values() if split in record.results]
        if results:
            accuracy, steps = (
                _mean(results, lambda one: one.accuracy),
                _mean(results, lambda one: one.steps_per_correct),
            )
            difference = found.get(case.name)
            made.append(
                _Standing(
                    case=case,
                    accuracy=accuracy or 0.0,
                    steps=steps,
                    greedy=all(one.greedy for one in results),
                    checked=are_checked(results),
                    difference=difference,
                )
            )
    return made


def _mean(results: list[SplitResult], figure: Figure) -> float | None:
    known = [value for result in results if (value := figure(result)) is not None]
    return fmean(known) if known else None


def _shortest(standings: list[_Standing]) -> _Standing | None:
    fit = [one for one in standings if one.steps is not None and one.keeps_accuracy(standings[0])]
    return min(fit, key=lambda one: one.steps or 0.0, default=None)


def _figures(one: _Standing) -> str:
    if one.steps is None:
        return percent(one.accuracy)
    steps = worded("steps per correct answer", checked=one.checked)
    return f"{percent(one.accuracy)} at {number(one.steps)} {steps}"
