"""The page of expert iteration over seeds and cases: accuracy by round, and what each round learnt from.

In: an `ExpertStudy`. Out: HTML laid out by `templates/experts.html`, and a table for the terminal.
"""

from __future__ import annotations

from string import ascii_lowercase

from rl.compare.expert import ExpertStudy, RoundArm
from rl.pages.comparison.legend import LegendEntry, case_style
from rl.pages.figures import Plot
from rl.pages.iteration.curves import GLYPHS, RoundLine, round_curves
from rl.pages.iteration.study import changes_table
from rl.pages.render import render
from rl.pages.table import Cell, Group, Note, Row, Table, cells
from rl.pages.text import text_table
from rl.search.summary import GREEDY, LABELS
from rl.stats.format import ABSENT, bare_percent, number, percent, signed


def render_expert_study(study: ExpertStudy) -> str:
    """The whole page; the same bytes for the same runs."""
    about = study.comparison
    return render(
        "experts.html",
        title=f"{about.name}: {about.kind.lower()} of expert iteration",
        about=about,
        answer=answer(study),
        legend=_legend(study),
        plots=[
            Plot(
                title=f"Split {split}",
                svg=round_curves(
                    _lines(study, split),
                    unit="right answers, %",
                    name=f"rounds{place}",
                    alt=f"Accuracy by round on {split}",
                    top=102.0,
                ),
            )
            for place, split in enumerate(study.splits)
        ],
        searched=any(len(study.methods(case)) > 1 for case in study.cases),
        table=_accuracy_table(study) if study.arms else None,
        learnt=_learnt_table(study) if study.arms else None,
        unfinished=study.unfinished(),
        configs=changes_table(about),
    )


def answer(study: ExpertStudy) -> str:
    """How far greedy decoding has come in the last round of each case, on the seeds that have it."""
    sentences = []
    for case in study.cases:
        parts = []
        for split in study.splits:
            rounds = study.followed(case, split, GREEDY)
            gain = rounds[-1].mean.gain if rounds else None
            if gain is not None:
                parts.append(
                    f"{percent(rounds[0].mean.accuracy)} to {percent(rounds[-1].mean.accuracy)} of {split} "
                    f"({_signed(gain.mean)} points, {_signed(gain.low)} to {_signed(gain.high)})"
                )
        if parts:
            begin = f"{case}: by" if len(study.cases) > 1 else "By"
            last = study.rounds(case)[-1]
            begun, seeds = len(study.of(case)), study.followed(case, study.splits[0], GREEDY)[-1].mean.seeds
            over = "" if seeds == begun else f", over {seeds} of {begun} seeds"
            sentences.append(f"{begin} round {last}, greedy decoding has gone from {'; '.join(parts)}{over}.")
    return " ".join(sentences)


def expert_study_text(study: ExpertStudy) -> str:
    """Every case, method and round over its seeds as a text table, in percent."""
    rows = []
    for arm in study.arms:
        mean, gain = arm.mean, arm.mean.gain
        shown = "-" if gain is None else f"{_signed(gain.mean)} ({_signed(gain.low)} to {_signed(gain.high)})"
        rows.append(
            [
                arm.split,
                arm.case,
                LABELS[arm.method],
                str(arm.round),
                str(mean.seeds),
                bare_percent(mean.accuracy),
                _between(arm),
                shown,
            ]
        )
    head = ["split", "case", "method", "round", "seeds", "correct", "95 % interval", "over round 0"]
    parts = [text_table(head, rows, num_left=3)]
    if missing := study.unfinished():
        parts.append(f"unfinished: {'; '.join(missing)}")
    return "\n\n".join(parts)


def _lines(study: ExpertStudy, split: str) -> list[RoundLine]:
    """A line for each case and method; searches are dashed."""
    return [
        RoundLine(
            label=f"{_key(study, case)}{' search' if method != GREEDY else ''}",
            place=study.cases.index(case),
            values={arm.round: 100 * arm.mean.accuracy for arm in found},
            intervals={arm.round: (100 * arm.mean.low, 100 * arm.mean.high) for arm in found},
            dashed=method != GREEDY,
        )
        for case in study.cases
        for method in study.methods(case)
        if (found := study.followed(case, split, method))
    ]


def _key(study: ExpertStudy, case: str) -> str:
    return ascii_lowercase[study.cases.index(case) % 26]


def _legend(study: ExpertStudy) -> list[LegendEntry]:
    made = []
    for place, case in enumerate(study.cases):
        style = case_style(place)
        entry = LegendEntry(key=_key(study, case), name=case, colour=style.colour, glyph=GLYPHS[style.marker])
        made.append(entry)
    return made


def _accuracy_table(study: ExpertStudy) -> Table:
    """A row for each case and method, a column for each round and one for the gain of the last."""
    rounds = sorted({number for case in study.cases for number in study.rounds(case)})
    groups = []
    for split in study.splits:
        rows = []
        for case in study.cases:
            for method in study.methods(case):
                arms = {arm.round: arm for arm in study.of_arm(case, split, method)}
                begun = len(study.of(case))
                shown = [_figure(arms.get(number), begun) for number in rounds]
                rows.append(
                    Row(
                        head=case, note=LABELS[method], cells=(*shown, _gain(arms[max(arms)] if arms else None))
                    )
                )
        groups.append(Group(name=split, rows=tuple(rows)))
    heads = ("Correct", *[f"Round {one}" for one in rounds], "Last less round 0")
    return Table(label="accuracy by round", heads=heads, groups=tuple(groups))


def _figure(arm: RoundArm | None, begun: int) -> Cell:
    if arm is None:
        return Cell(text=ABSENT)
    some = [Note(text=f"{arm.mean.seeds} of {begun} seeds")] if arm.mean.seeds < begun else []
    return Cell(text=percent(arm.mean.accuracy), notes=(Note(text=_between(arm)), *some))


def _gain(arm: RoundArm | None) -> Cell:
    gain = arm.mean.gain if arm is not None else None
    if gain is None:
        return Cell(text=ABSENT)
    between = f"{_signed(gain.low)} to {_signed(gain.high)}"
    return Cell(text=f"{_signed(gain.mean)} points", notes=(Note(text=between),))


def _learnt_table(study: ExpertStudy) -> Table:
    """Means over seeds of what each round of each case searched and kept."""
    groups = []
    for case in study.cases:
        rows = []
        for number_ in study.rounds(case):
            if number_:
                figures = [
                    study.learnt(case, number_, lambda row: row.asked),
                    study.learnt(case, number_, lambda row: row.right),
                    study.learnt(case, number_, lambda row: row.kept),
                    study.learnt(case, number_, lambda row: row.tokens),
                    study.learnt(case, number_, lambda row: row.updates),
                ]
                rows.append(Row(head=f"{number_}", cells=cells([number(one, 0) for one in figures])))
        if rows:
            groups.append(Group(name=case, rows=tuple(rows)))
    heads = ("Round", "Problems searched", "Right", "Kept", "Tokens", "Updates")
    return Table(label="what each round learnt from", heads=heads, groups=tuple(groups))


def _between(arm: RoundArm) -> str:
    return f"{100 * arm.mean.low:.1f} to {100 * arm.mean.high:.1f}"


def _signed(share: float) -> str:
    return signed(100 * share, 1)
