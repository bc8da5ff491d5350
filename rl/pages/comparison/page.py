"""The page of a comparison: every case over its seeds.

In: a `Study`. Out: HTML that needs nothing but itself and has no scripts, laid out by
`templates/comparison.html`; the same bytes for the same runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rl.compare.flags import Flag, FlagKind, by_kind, where
from rl.compare.results import CaseRecord
from rl.compare.study import Study
from rl.pages.comparison.answer import answer, dates, identical, next_steps, revisions, tiles
from rl.pages.comparison.curves import learning_curves
from rl.pages.comparison.legend import entry_name, legend
from rl.pages.comparison.lengths import lengths
from rl.pages.comparison.scatter import trade_offs
from rl.pages.comparison.searches import searches
from rl.pages.comparison.tables import config_table, difference_table, full_table, headline_table
from rl.pages.decoding import decoding
from rl.pages.render import render
from rl.pages.run.backtracks import Rows, backtracks
from rl.pages.run.buckets import by_bucket, empty_thoughts
from rl.pages.steps import COUNTED


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A kind of failure of a case: where it was seen, and the figures of each seed."""

    kind: str
    where: str
    figures: tuple[str, ...]


def render_comparison(study: Study) -> str:
    """The whole page."""
    about = study.comparison
    is_evaluated = any(case.last() for case in study.cases)
    is_comparable = is_evaluated and bool(study.splits)
    means = _means(study)
    failures = [(case, _failures(study, case)) for case in study.cases] if is_comparable else []
    return render(
        "comparison.html",
        title=f"{about.name}: {about.kind.lower()}",
        about=about,
        date=dates(study),
        revisions=revisions(study),
        answer=answer(study),
        tiles=tiles(study),
        warnings=study.warnings(),
        unfinished=study.unfinished(),
        left_out=study.left_out,
        shared=study.on_shared_problems(),
        is_evaluated=is_evaluated,
        is_comparable=is_comparable,
        legend=legend(study) if is_comparable else [],
        identical=identical(study),
        trade_offs=trade_offs(study) if is_comparable else [],
        lengths=lengths(study) if is_comparable else [],
        base=study.cases[0],
        num_cases=len(study.cases),
        differences=difference_table(study) if is_comparable else None,
        is_single=_is_single(study),
        curves=learning_curves(study) if is_comparable else None,
        steps_checked=study.steps_checked,
        counted=COUNTED,
        decoding=decoding(entry.mean() for found in study.compared().values() for entry in found),
        headlines=headline_table(study) if is_comparable else None,
        figures=full_table(study) if is_comparable else None,
        searches=searches(study) if is_comparable else None,
        buckets=by_bucket(means),
        empty_thoughts=empty_thoughts(means),
        backtracks=backtracks(means),
        failed=[(case, found) for case, found in failures if found],
        fine=[case for case, found in failures if not found],
        configs=config_table(study),
        next_steps=next_steps(study),
    )


def _means(study: Study) -> dict[str, Rows]:
    """Means over seeds by split, named as in the legend."""
    return {
        split: [(" ".join(entry_name(study, entry)), entry.mean()) for entry in found]
        for split, found in study.compared().items()
    }


def _is_single(study: Study) -> bool:
    """Whether a difference rests on one seed."""
    return any(one is not None and one.num_seeds == 1 for case in study.differences() for one in case.found)


def _failures(study: Study, case: CaseRecord) -> list[Failure]:
    flags = [flag for flag in study.flags[case.name] if flag.split in ("", *study.splits)]
    return [_failure(kind, by_split) for kind, by_split in by_kind(flags).items()]


def _failure(kind: FlagKind, by_split: Mapping[str, Sequence[Flag]]) -> Failure:
    figures = tuple(_figures(flag) for flags in by_split.values() for flag in flags)
    return Failure(kind=kind.value, where=where(by_split), figures=figures)


def _figures(flag: Flag) -> str:
    place = f"{flag.split}, " if flag.split else ""
    return f"{place}seed {flag.seed}: {flag.figures}"
