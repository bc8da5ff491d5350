"""The result tables of a run: the headline figures, and all of them.

In: a `RunRecord`. Out: tables as data for the template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rl.pages.run.search import full_searches
from rl.pages.steps import worded
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.pages.text import line_uses, optional_shares, other_forms
from rl.runs.read import RunRecord
from rl.runs.record import SplitResult, Stage
from rl.search.summary import Arm
from rl.stats.format import ABSENT, bare_percent, number, percent

Column = tuple[str, Callable[[SplitResult], Cell]]


def headline_table(run: RunRecord, searched: Mapping[Stage, Sequence[Arm]]) -> Table:
    """The figures that most readers want.

    Args:
        run: The run.
        searched: The figures of stages that were evaluated by search too; each search is a row below its stage.
    """
    return _table(
        run,
        "results",
        [
            (_ACCURACY, _accuracy),
            *([_STRICT] if other_forms(_results(run)) else []),
            *_if_checked(run, (_VALID, _share(lambda result: result.verified))),
            (
                worded("Steps per correct answer", checked=run.steps_checked),
                _figure(lambda result: result.steps_per_correct),
            ),
            *_if_checked(run, ("Steps saved", _share(lambda result: result.steps_saved))),
            *[(name, _share(figure)) for name, figure in optional_shares(_results(run))],
            ("Backtracks", _figure(lambda result: result.backtracks)),
            (_TOKENS, _figure(lambda result: result.tokens, 1)),
            ("Truncated", _share(lambda result: result.truncated)),
        ],
        searched,
    )


def full_table(run: RunRecord) -> Table:
    """The remaining figures."""
    results = _results(run)
    ks = sorted({int(k) for result in results for k in result.pass_at_k})
    sampled = [(f"Sampled pass@{k}", _pass_at(k)) for k in ks if k > 1]
    return _table(
        run,
        "more results",
        [
            (
                f"Sampled mean@{ks[-1]}" if ks else "Sampled mean@k",
                _share(lambda result: result.sampled_accuracy),
            ),
            *sampled,
            (
                worded("Sampled steps per correct", checked=run.steps_checked),
                _figure(lambda result: result.sampled_steps_per_correct),
            ),
            ("Full steps, same problems", _figure(lambda result: result.full_steps_per_correct)),
            *_if_checked(
                run,
                ("Invalid steps", _figure(lambda result: result.invalid_steps)),
                ("Real backtracks", _figure(lambda result: result.real_backtracks)),
                ("Wasted steps", _figure(lambda result: result.wasted_steps)),
                *[(name, _share(figure)) for name, figure in line_uses(results)],
            ),
        ],
    )


def _results(run: RunRecord) -> list[SplitResult]:
    return [result for split in run.splits for result in run.results(split).values()]


def _if_checked(run: RunRecord, *columns: Column) -> tuple[Column, ...]:
    """Columns that judge steps: none where the task checks no steps."""
    return columns if run.steps_checked else ()


def _table(
    run: RunRecord, label: str, columns: Sequence[Column], searched: Mapping[Stage, Sequence[Arm]] | None = None
) -> Table:
    groups = []
    for split in run.splits:
        results = run.results(split)
        one = next(iter(results.values()))
        rows = []
        for stage, result in results.items():
            rows.append(Row(head=stage.label, stage=stage, cells=tuple(cell(result) for _, cell in columns)))
            for name, arm in full_searches((searched or {}).get(stage, ()), split).items():
                found = tuple(
                    _OF_SEARCH[head](arm) if head in _OF_SEARCH else Cell(text=ABSENT) for head, _ in columns
                )
                rows.append(Row(head=stage.label, stage=stage, note=name, cells=found))
        skipped = f" ({one.skipped} skipped: prompt too long)" if one.skipped else ""
        about = f"{one.num_problems} problems{skipped}, full traces {number(one.full_steps)} steps on average"
        groups.append(Group(name=split, about=about, rows=tuple(rows)))
    return Table(label=label, heads=("Stage", *(head for head, _ in columns)), groups=tuple(groups))


def _accuracy(result: SplitResult) -> Cell:
    interval = f"{bare_percent(result.accuracy_low)}–{bare_percent(result.accuracy_high)}"
    sampled = () if result.greedy else (Note(text="sampled"),)
    return Cell(text=percent(result.accuracy), notes=(Note(text=interval), *sampled))


def _share(of: Callable[[SplitResult], float | None]) -> Callable[[SplitResult], Cell]:
    return lambda result: Cell(text=percent(of(result)))


def _pass_at(k: int) -> Callable[[SplitResult], Cell]:
    return _share(lambda result: result.pass_at_k.get(str(k)))


def _figure(of: Callable[[SplitResult], float | None], digits: int = 2) -> Callable[[SplitResult], Cell]:
    return lambda result: Cell(text=number(of(result), digits))


_ACCURACY, _VALID, _TOKENS = "Accuracy (95 % interval)", "No step invalid", "Tokens"
_OF_SEARCH: Mapping[str, Callable[[Arm], Cell]] = {
    _ACCURACY: lambda arm: Cell(
        text=percent(arm.accuracy), notes=(Note(text=f"{bare_percent(arm.low)}–{bare_percent(arm.high)}"),)
    ),
    _VALID: lambda arm: Cell(text=percent(arm.verified)),
    _TOKENS: lambda arm: Cell(text=number(arm.tokens, 1)),
}
_STRICT: Column = ("Accuracy in the closing line", _share(lambda result: result.strict_accuracy))
