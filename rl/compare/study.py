"""The results of a comparison, from which its page, its text and its CSV are made.

In: a `Comparison`. Out: a `Study`: results, the splits that can be compared, failures by name, and the
differences of each case from the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from rl.compare.flags import Flag, case_flags
from rl.compare.results import CaseRecord, Entry, TraceFacts, entries, read_cases
from rl.compare.runs import Comparison
from rl.compare.same_problems import num_problems, same_problems
from rl.compare.searches import SearchedCase, read_searches
from rl.compare.shared import on_shared_problems
from rl.runs.read import PlainConfig
from rl.runs.record import Stage, planned_stages
from rl.stats.paired import Difference, Figures, holm, paired_difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A figure of single completions by which cases are compared.

    Attributes:
        name: Name in tables.
        value: Its value for a completion.
        only_correct: Whether it is compared only on problems that both cases solve.
        is_share: Whether each value is 0 or 1; it is then shown in percentage points.
        of_steps: Whether it counts steps. Steps that one case checks and the other counts are different units.

    Of several samples of a problem the mean is compared, over the correct ones with `only_correct`.
    """

    name: str
    value: Callable[[TraceFacts], float]
    only_correct: bool = False
    is_share: bool = False
    of_steps: bool = False


MEASURES = (
    Measure(name="accuracy", value=lambda trace: float(trace.correct), is_share=True),
    Measure(
        name="steps, where both are correct", value=lambda trace: trace.steps, only_correct=True, of_steps=True
    ),
    Measure(name="backtracks per trace", value=lambda trace: trace.backtracks),
    Measure(name="tokens per trace", value=lambda trace: trace.tokens),
)
"""The measures by which cases are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDifference:
    """The differences of a case from the baseline on one split.

    Attributes:
        case: The case.
        split: Split of the problems.
        found: The difference in each of `MEASURES`; None where no pair of completions has it.
        exceeds: For each, whether it exceeds noise after correction for all cases of the split.
    """

    case: CaseRecord
    split: str
    found: tuple[Difference | None, ...]
    exceeds: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """The results of a comparison.

    Attributes:
        comparison: The runs compared.
        cases: Results by case; the first is the baseline of all differences.
        splits: Splits on which all cases were evaluated on the same problems.
        shared: Number of problems compared, for splits on which some cases were evaluated on more.
        left_out: Why each other split is not compared.
        flags: Failures by case.
        searches: The searches of the cases' last stages (`eval.search`).
    """

    comparison: Comparison
    cases: list[CaseRecord]
    splits: list[str]
    shared: dict[str, int]
    left_out: dict[str, str]
    flags: dict[str, list[Flag]]
    searches: tuple[SearchedCase, ...] = ()

    @property
    def entries(self) -> list[Entry]:
        """Results of all cases, stages and splits, including splits that cannot be compared."""
        return entries(self.cases)

    @property
    def steps_checked(self) -> bool:
        """Whether some of the results that can be compared are of checked steps; True without any."""
        found = [entry.mean().steps_checked for split in self.compared().values() for entry in split]
        return any(found) or not found

    def compared(self) -> dict[str, list[Entry]]:
        """Results by split, for the splits that can be compared."""
        every = self.entries
        return {split: [entry for entry in every if entry.split == split] for split in self.splits}

    def differences(self) -> list[CaseDifference]:
        """The differences of every other case from the baseline, split by split."""
        base, others = self.cases[0], self.cases[1:]
        made = []
        for split in self.splits:
            found = [[_difference(case, base, split, measure) for measure in MEASURES] for case in others]
            verdicts = [
                holm([float("nan") if one is None else one.p for one in column])
                for column in zip(*found, strict=True)
            ]
            made += [
                CaseDifference(
                    case=case,
                    split=split,
                    found=tuple(row),
                    exceeds=tuple(verdict[place] for verdict in verdicts),
                )
                for place, (case, row) in enumerate(zip(others, found, strict=True))
            ]
        return made

    def on_shared_problems(self) -> str:
        """A sentence that names the shared problems, if some cases were evaluated on more; empty otherwise."""
        if not self.shared:
            return ""
        evaluated = [case.name for case in self.cases if case.last()]
        nums = {name: num_problems(self.comparison.configs.get(name, {})) for name in evaluated}
        listed = ", ".join(f"{num} in {name}" for name, num in nums.items())
        least = min(self.shared.values())
        return (
            f"compared on the first {least} problems of {', '.join(self.shared)}, which all cases share "
            f"(eval.num_problems: {listed}); figures of samples, kinds of backtracks, errors and difficulty "
            "buckets are known for all problems only and left out"
        )

    def warnings(self) -> dict[str, list[str]]:
        """What the runs warned of at their start, with the names of the cases that did."""
        found: dict[str, list[str]] = {}
        for case in self.cases:
            for warning in dict.fromkeys(w for record in case.seeds.values() for w in record.warnings):
                found.setdefault(warning, []).append(case.name)
        return found

    def unfinished(self) -> list[str]:
        """Runs whose last stage is not evaluated yet, and how far they are."""
        return [line for case in self.cases for line in _unfinished(case, self.comparison.configs[case.name])]


def make_study(comparison: Comparison, cases: list[CaseRecord] | None = None) -> Study:
    """Compare runs.

    Args:
        comparison: The runs.
        cases: Their cases; None: read them from the run folders.

    Raises:
        RunFolderError: A file of a run is damaged.
    """
    cases = read_cases(comparison) if cases is None else cases
    same = same_problems(cases, comparison.configs)
    every = list(dict.fromkeys(entry.split for entry in entries(cases)))
    return Study(
        comparison=comparison,
        cases=[on_shared_problems(case, same.shared) for case in cases] if same.shared else cases,
        splits=same.splits,
        shared=same.shared,
        left_out=same.left_out,
        flags={case.name: case_flags(case, every) for case in cases},
        searches=read_searches(cases, same.shared),
    )


def _difference(case: CaseRecord, base: CaseRecord, split: str, measure: Measure) -> Difference | None:
    if measure.of_steps and _steps_checked(case, split) != _steps_checked(base, split):
        return None
    ours, theirs = [_figures(record, split, measure) for record in (case, base)]
    return paired_difference(ours, theirs, is_share=measure.is_share)


def _steps_checked(case: CaseRecord, split: str) -> set[bool]:
    found = case.traces(split).values()
    return {one.steps_checked for problems in found for samples in problems.values() for one in samples}


def _figures(case: CaseRecord, split: str, measure: Measure) -> Figures:
    return {
        seed: {
            index: fmean(map(measure.value, counted))
            for index, samples in traces.items()
            if (counted := [one for one in samples if one.correct or not measure.only_correct])
        }
        for seed, traces in case.traces(split).items()
    }


def _unfinished(case: CaseRecord, config: PlainConfig) -> list[str]:
    wanted = [Stage.BASE, *planned_stages(config)][-1]
    lines = []
    for seed, record in case.seeds.items():
        if record.at(wanted) is not None:
            continue
        line = f"{case.name}, seed {seed}: {wanted.label} not evaluated"
        if record.stages:
            line += f" (evaluated: {', '.join(stage.stage.label for stage in record.stages)})"
        if record.updates:
            line += f": {record.updates[-1].update} of {record.planned_updates} updates logged"
        lines.append(line)
    return lines
