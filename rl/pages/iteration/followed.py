"""What the model of each round that is asked for a number of steps makes of it, and what was learnt from that.

In: a `LoopRecord`. Out: plots and tables for the template: step-following by request, and the answers kept
for the next round with the share that is not verified.
"""

from __future__ import annotations

from collections.abc import Callable

from rl.iterate.metrics import asked, following
from rl.iterate.read import LoopRecord
from rl.iterate.record import Asked, Following
from rl.pages.figures import Plot
from rl.pages.iteration.curves import RoundLine, round_curves
from rl.pages.table import Cell, Group, Row, Table, cells
from rl.stats.format import ABSENT, number, percent

Requests = dict[int, dict[int, Following]]
"""By request and round."""


def request_name(fewer: int) -> str:
    """A request in words: "full", "full − 1"."""
    return f"full − {fewer}" if fewer else "full"


def followed(loop: LoopRecord, cell: str) -> Requests:
    """How every request is followed on a cell, round by round."""
    found: Requests = {}
    for fewer in loop.fewer:
        for round_, rows in ((number_, by_cell.get(cell, [])) for number_, by_cell in loop.conditioned.items()):
            if answers := [row for row in rows if row.fewer == fewer]:
                found.setdefault(fewer, {})[round_] = following(answers)
    return found


def followed_cells(loop: LoopRecord) -> list[str]:
    """The cells on which the model was asked for numbers of steps."""
    return list(dict.fromkeys(cell for by_cell in loop.conditioned.values() for cell in by_cell))


def following_plots(loop: LoopRecord, cell: str) -> list[Plot]:
    """Step-following, accuracy among the step-consistent, and both together, over rounds."""
    requests = followed(loop, cell)
    panels: list[tuple[str, Callable[[int, Following], float | None]]] = [
        ("Steps as asked for", lambda fewer, one: one.consistency_real if fewer else one.consistency),
        (
            "Right, of those with the steps asked for",
            lambda fewer, one: one.accuracy_consistent_real if fewer else one.accuracy_consistent,
        ),
        ("Right, with the steps asked for", lambda fewer, one: one.joint_real if fewer else one.joint),
    ]
    plots = []
    for place, (title, figure) in enumerate(panels):
        lines = [
            RoundLine(
                label=request_name(fewer),
                place=colour,
                values={
                    number_: 100 * value
                    for number_, one in by_round.items()
                    if (value := figure(fewer, one)) is not None
                },
            )
            for colour, (fewer, by_round) in enumerate(requests.items())
        ]
        if any(line.values for line in lines):
            svg = round_curves(lines, unit="%", name=f"follow{place}", alt=f"{title} by round", top=102.0)
            plots.append(Plot(title=title, svg=svg))
    return plots


def following_table(loop: LoopRecord) -> Table:
    """How every request is followed on every cell, round by round."""
    heads = (
        "Round",
        "Steps as asked for",
        "Real skips: steps as asked for",
        "Accuracy",
        "Right, of those with the steps asked for",
        "Right with the steps asked for",
        "Real skips: right with the steps asked for",
        "and every line verified",
        "Steps asked for",
        "Steps written",
    )
    groups = []
    for cell in followed_cells(loop):
        for fewer, by_round in followed(loop, cell).items():
            rows = tuple(Row(head=str(number_), cells=_figures(one)) for number_, one in by_round.items())
            first = next(iter(by_round.values()))
            about = f"{first.num} answers, {first.num_real} to real skips"
            groups.append(Group(name=f"{cell}, {request_name(fewer)}", about=about, rows=rows))
    return Table(label="step-following by round", heads=heads, groups=tuple(groups))


def _figures(one: Following) -> tuple[Cell, ...]:
    shares = (
        one.consistency,
        one.consistency_real,
        one.accuracy,
        one.accuracy_consistent,
        one.joint,
        one.joint_real,
        one.verified_real,
    )
    return cells([*map(percent, shares), number(one.asked), number(one.steps)])


def kept_plots(loop: LoopRecord) -> list[Plot]:
    """Answers kept for each round and request, and those of them with every line verified."""
    by_request = _by_request(loop)
    kept: list[RoundLine] = []
    unverified: list[RoundLine] = []
    for place, (fewer, by_round) in enumerate(by_request.items()):
        name = request_name(fewer)
        values = {number_: float(one.kept) for number_, one in by_round.items()}
        kept.append(RoundLine(label=name, place=place, values=values))
        sure = {n: float(one.kept_verified) for n, one in by_round.items() if one.kept_verified is not None}
        kept.append(RoundLine(label="", place=place, values=sure, dashed=True))
        share = {n: 100 * frac for n, one in by_round.items() if (frac := unverified_frac(one)) is not None}
        unverified.append(RoundLine(label=name, place=place, values=share))
    plots = []
    if any(line.values for line in kept):
        svg = round_curves(kept, unit="answers", name="kept0", alt="Answers kept by round")
        plots.append(Plot(title="Answers kept (dashed: every line verified)", svg=svg))
    if any(line.values for line in unverified):
        alt = "Kept answers that are not verified, by round"
        svg = round_curves(unverified, unit="% of the kept", name="kept1", alt=alt, top=102.0)
        plots.append(Plot(title="Kept, not verified: a line invalid or missing", svg=svg))
    return plots


def kept_table(loop: LoopRecord) -> Table:
    """The mix of every round, and what each request brought to it."""
    heads = (
        "Round and request",
        "Asked",
        "Real skips",
        "with the steps asked for",
        "right",
        "Kept",
        "Every line verified",
        "Not verified",
    )
    by_request = _by_request(loop)
    groups = []
    for row in loop.rounds:
        rows = []
        if row.asked is not None:
            found = {
                fewer: by_round[row.round] for fewer, by_round in by_request.items() if row.round in by_round
            }
            rows = [Row(head=request_name(fewer), cells=_counts(one)) for fewer, one in found.items()]
            rows.append(Row(head="all requests", cells=_counts(row.asked)))
        skipped = "skipped by hand" if not row.round else "kept"
        about = (
            f"learnt {row.num_full:,} full traces and {row.num_skipped:,} {skipped} in {row.updates:,} updates"
        )
        groups.append(Group(name=f"round {row.round}", about=about, rows=tuple(rows)))
    return Table(label="what every round learnt", heads=heads, groups=tuple(groups))


def unverified_frac(one: Asked) -> float | None:
    """Share of the kept answers that have a line which is invalid or missing; None where that is not known."""
    return 1 - one.kept_verified / one.kept if one.kept and one.kept_verified is not None else None


def _by_request(loop: LoopRecord) -> dict[int, dict[int, Asked]]:
    """What each request on train brought, by request and round; requests for the full count are none."""
    found: dict[int, dict[int, Asked]] = {}
    for fewer in [fewer for fewer in loop.fewer if fewer]:
        for round_, rows in loop.asked.items():
            if answers := [row for row in rows if row.fewer == fewer]:
                found.setdefault(fewer, {})[round_] = asked(answers)
    return found


def _counts(one: Asked) -> tuple[Cell, ...]:
    known = one.kept_verified is not None
    unverified = percent(unverified_frac(one)) if known else ABSENT
    verified = f"{one.kept_verified:,}" if known else ABSENT
    counts = [f"{num:,}" for num in (one.num, one.num_real, one.consistent, one.correct, one.kept)]
    return cells([*counts, verified, unverified])
