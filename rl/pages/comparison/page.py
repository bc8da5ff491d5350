"""The page of a comparison: every case over its seeds.

In: a `Study`. Out: HTML that needs nothing but itself and has no scripts, the same for the same runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rl.compare.flags import Flag, FlagKind, by_kind, where
from rl.compare.study import Study
from rl.pages.comparison.curves import learning_curves
from rl.pages.comparison.scatter import trade_offs
from rl.pages.comparison.tables import config_table, difference_table, result_table
from rl.pages.html import page, visible
from rl.pages.run.backtracks import backtracks
from rl.pages.run.buckets import by_bucket


def render_comparison(study: Study) -> str:
    """The whole page."""
    about = study.comparison
    seeds = ", ".join(map(str, about.seeds))
    parts = [
        f'<header><p class="kind">{visible(about.kind)} · seed{"s" * (len(about.seeds) != 1)} {seeds}</p>'
        f'<h1>{visible(about.name)}</h1><p class="verdict">{visible(about.question)}</p></header>',
        _runs_not_there(study),
    ]
    title = f"{about.name}: {about.kind.lower()}"
    if not any(case.last() for case in study.cases):
        return page(title, [*parts, "<p>No run has been evaluated yet.</p>", _cases(study)])
    parts.append(_left_out(study))
    if note := study.on_shared_problems():
        parts.append(f"<p><b>Shared problems.</b> {visible(note[0].upper() + note[1:])}.</p>")
    if not study.splits:
        return page(title, [*parts, "<p>There is no split to compare them on.</p>", _cases(study)])
    means = {
        split: [(entry.name, entry.mean()) for entry in found] for split, found in study.compared().items()
    }
    parts += [
        "<h2>Failures</h2>",
        _failures(study),
        "<h2>What accuracy costs</h2>",
        "<p>Up and to the left is better. Large marks are means over seeds, small ones single seeds; bars are "
        "95 % intervals of the mean (Student's t over seeds; of the accuracy never narrower than the problems "
        "alone make it, Wilson) and may run out of the plot. The dashed line is "
        "the Pareto front: no other case is at least as accurate at no higher cost. Hollow: what a case began "
        "with.</p>",
        trade_offs(study),
        f"<h2>Differences to {visible(study.cases[0].name)}</h2>",
        _base(study),
        difference_table(study),
        "<h2>GRPO, update by update</h2>",
        learning_curves(study),
        "<h2>All results</h2>",
        result_table(study),
        '<p class="note">Greedy decoding; means over seeds of figures per trace, with 95 % intervals of the '
        "mean by Student's t, which are wide for few seeds; the intervals of the first two columns are never "
        "narrower than the problems alone make them (Wilson). One seed, or seeds that agree, give no other "
        "interval. The same problems for every case and seed.</p>",
        by_bucket(means),
        backtracks(means),
        _cases(study),
    ]
    return page(title, parts)


def _runs_not_there(study: Study) -> str:
    failed = "".join(
        f"<li><b>{visible(name)}</b>: {visible(why)}</li>" for name, why in study.comparison.failures.items()
    )
    unfinished = "".join(f"<li>{visible(said)}</li>" for said in study.unfinished())
    text = f'<h2>Failed runs</h2><ul class="said">{failed}</ul>' if failed else ""
    return text + (f'<h2>Unfinished runs</h2><ul class="said">{unfinished}</ul>' if unfinished else "")


def _left_out(study: Study) -> str:
    items = "".join(
        f"<li><b>{visible(split)}</b>: {visible(why)}</li>" for split, why in study.left_out.items()
    )
    if not items:
        return ""
    return f'<h2>Not compared</h2><p>Not the same problems for every case:</p><ul class="said">{items}</ul>'


def _failures(study: Study) -> str:
    boxes, fine = [], []
    for case in study.cases:
        found = by_kind([flag for flag in study.flags[case.name] if flag.split in ("", *study.splits)])
        name = f'<span class="nb"><b>{case.key}</b> {visible(case.name)}</span>'
        if not found:
            fine.append(name)
            continue
        items = "".join(f"<li>{_failure(kind, by_split)}</li>" for kind, by_split in found.items())
        boxes.append(
            f'<section><h3>{case.key} {visible(case.name)}</h3><ul class="said">{items}</ul></section>'
        )
    where_none = f" in {', '.join(fine)}" if boxes else ""
    none = f'<p class="note">None found{where_none}.</p>' if fine else ""
    return (
        (f'<div class="boxes">{"".join(boxes)}</div>' if boxes else "")
        + none
        + '<p class="note">Each seed is compared with what it began with, on the same problems, greedy; what '
        "became worse by more than a limit (rl/compare/flags.py) is named with its figures.</p>"
    )


def _failure(kind: FlagKind, by_split: Mapping[str, Sequence[Flag]]) -> str:
    """A failure with the figures of the first seed; those of the others can be opened."""
    first, *others = [flag for flags in by_split.values() for flag in flags]
    head = f"<b>{visible(kind.value)}</b>: {visible(where(by_split))}"
    more = "".join(f"<li>{visible(_figures(flag))}</li>" for flag in others)
    rest = f"<details><summary>{len(others)} more</summary><ul>{more}</ul></details>" if others else ""
    return f"{head}<ul><li>{visible(_figures(first))}</li></ul>{rest}"


def _figures(flag: Flag) -> str:
    place = f"{flag.split}, " if flag.split else ""
    return f"{place}seed {flag.seed}: {flag.figures}"


def _base(study: Study) -> str:
    if len(study.cases) < 2:
        return ""
    base = study.cases[0]
    return (
        f"<p>The base is the first case, <b>{base.key}</b> {visible(base.name)}. Each cell: the difference, "
        "its 95 % interval, the verdict. Accuracy in percentage points; steps over problems both solve.</p>"
    )


def _cases(study: Study) -> str:
    found = config_table(study)
    return f"<h2>What sets the cases apart</h2>{found}" if found else ""
