"""The page of a study over loops: every case and round over its seeds.

In: a `LoopStudy`. Out: HTML that needs nothing but itself and has no scripts, laid out by
`templates/loops.html`; the same bytes for the same runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from rl.compare.config_differences import case_changes
from rl.compare.runs import Comparison
from rl.iterate.regret import RegretRow
from rl.iterate.stopping import Rule
from rl.iterate.study import LoopStudy, mean_accuracy
from rl.pages.comparison.legend import LegendEntry, case_style
from rl.pages.figures import Plot
from rl.pages.iteration.curves import GLYPHS
from rl.pages.iteration.study_plots import (
    accuracy_plots,
    following_plots,
    fronts,
    key_of,
    names,
    steps_plots,
)
from rl.pages.iteration.study_tables import (
    difference_table,
    regret_table,
    requests_table,
    round_name,
    rounds_table,
)
from rl.pages.render import render
from rl.pages.table import Group, Row, Table, cells
from rl.stats.format import percent, signed


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The cases of a study with the same problems.

    Attributes:
        name: Name of their task; empty where the study has one part.
        legend: The cases.
        base: The model trained on full traces alone; empty without one.
        accuracy: Accuracy by round, on every cell.
        steps: Steps by round.
        rounds: All figures by case and round; None before the first round.
        differences: Rounds less full traces alone; None where nothing can be compared.
        regrets: What the rules for stopping cost; None where no rule has a choice.
        following: How requests are followed, by round.
        requests: The same as figures; None before the first answers.
        fronts: Accuracy against steps.
    """

    name: str
    legend: list[LegendEntry]
    base: str
    accuracy: list[Plot]
    steps: list[Plot]
    rounds: Table | None
    differences: Table | None
    regrets: Table | None
    following: list[Plot]
    requests: Table | None
    fronts: list[Plot]


def render_loops(study: LoopStudy, *, others: str | None = None) -> str:
    """The whole page.

    Args:
        study: The study.
        others: Path of the comparison of its ordinary runs beside this page; None without one.
    """
    about = study.comparison
    found = study.parts()
    parts = [
        _part(one, name if len(found) > 1 else "", f"part{place}-") for place, (name, one) in enumerate(found)
    ]
    return render(
        "loops.html",
        title=f"{about.name}: {about.kind.lower()} of loops",
        about=about,
        answer=answer(study),
        is_begun=any(part.rounds for part in parts),
        parts_=parts,
        unfinished=study.unfinished(),
        configs=changes_table(about),
        others=others,
    )


def _part(study: LoopStudy, name: str, prefix: str) -> Part:
    base = study.full_only
    return Part(
        name=name,
        legend=_legend(study),
        base=round_name(base.case, base.round) if base else "",
        accuracy=accuracy_plots(study, prefix),
        steps=steps_plots(study, prefix),
        rounds=rounds_table(study) if study.cells else None,
        differences=difference_table(study),
        regrets=regret_table(study),
        following=following_plots(study, prefix),
        requests=requests_table(study),
        fronts=fronts(study, prefix),
    )


def answer(study: LoopStudy) -> str:
    """What mixed data does to accuracy on every test cell, and what the stopping rule costs there."""
    found = study.parts()
    sentences = []
    for name, part in found:
        begin = f"{name}, " if len(found) > 1 else ""
        sentences += [f"{begin}{sentence}" for sentence in _gains(part)]
    rows = [
        one
        for _, part in found
        for one in part.regrets
        if one.rule in (Rule.VALIDATION, Rule.LAST) and one.cell != "id"
    ]
    ours, last = (_mean_regret(rows, rule) for rule in (Rule.VALIDATION, Rule.LAST))
    if ours is not None and last is not None:
        sentences.append(
            f"Regret out of distribution: {100 * ours:.1f} points with the stopping rule, {100 * last:.1f} "
            "with the last round."
        )
    return " ".join(sentences)


def _gains(study: LoopStudy) -> list[str]:
    """For every test cell the case that gains most on full traces alone, at the round kept."""
    sentences = []
    for cell in study.test_cells:
        kept = [
            one
            for one in study.differences
            if one.cell == cell and one.round is None and _has_more_than_full_traces(study, one.case)
        ]
        gains = [(one.found.mean, one) for one in kept if one.found is not None]
        if not gains:
            continue
        gain, best = max(gains, key=lambda pair: pair[0])
        accuracy = mean_accuracy(study.solved(best.case, cell, None))
        assert accuracy is not None
        sure = "more than noise" if best.exceeds else "within noise"
        sentences.append(
            f"{cell}: {best.case} has {percent(accuracy[0])} right at the round kept, "
            f"{signed(100 * gain, 1)} points against full traces alone ({sure})."
        )
    return sentences


def _has_more_than_full_traces(study: LoopStudy, case: str) -> bool:
    """Whether a case is not just the one compared with, none of whose rounds kept has learnt skipped traces."""
    kept, base = study.kept_rounds(case), study.full_only
    rounds = [(kept.get(loop.seed), row) for loop in study.of(case) for row in loop.record.rounds]
    return base is None or case != base.case or any(row.num_skipped for at, row in rounds if row.round == at)


def _mean_regret(rows: list[RegretRow], rule: Rule) -> float | None:
    cases = {one.case for one in rows if one.rule is Rule.LAST}  # rules on the same candidates
    found = [one.mean for one in rows if one.rule is rule and one.case in cases]
    return sum(found) / len(found) if found else None


def _legend(study: LoopStudy) -> list[LegendEntry]:
    made = []
    for place, case in enumerate(names(study)):
        style = case_style(place)
        glyph = GLYPHS[style.marker]
        made.append(LegendEntry(key=key_of(study, case), name=case, colour=style.colour, glyph=glyph))
    return made


def changes_table(about: Comparison) -> Table | None:
    """The keys in which each case differs from the first, a group for each case; None if none does."""
    changes = case_changes(about.configs)
    groups = [
        Group(name=case, rows=tuple(Row(head=one.key, cells=cells([one.base, one.value])) for one in found))
        for case, found in changes.items()
        if found
    ]
    if not groups:
        return None
    first = next(iter(about.configs))
    return Table(label="differences between the configs", heads=("Key", first, "Case"), groups=tuple(groups))
