"""The round that the stopping rule keeps, and why: a sentence, a table of rounds and one of other rules.

In: a `LoopRecord`. Out: a `Kept`, as data for the template; None where the loop has no validation cell yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rl.iterate.read import LoopRecord
from rl.iterate.record import VALIDATION
from rl.iterate.regret import LoopAnswers, candidates, kept_by_rules, loop_answers
from rl.iterate.stopping import Cell as Answers
from rl.iterate.stopping import Choice, Rule, choose
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.stats.format import ABSENT, bare_percent, percent, signed
from rl.stats.intervals import wilson_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The choice among the rounds of a loop.

    Attributes:
        rounds: The candidates' rounds.
        answers: Their answers on the validation cell.
        choice: What the rule makes of them.
    """

    rounds: tuple[int, ...]
    answers: Answers
    choice: Choice

    @property
    def round(self) -> int:
        """The round that is kept."""
        return self.rounds[self.choice.place]

    def accuracy(self, place: int) -> str:
        """Accuracy on the validation cell as text."""
        return percent(float(self.answers.accuracy()[place]))


def kept_round(loop: LoopRecord) -> Kept | None:
    """The round that the stopping rule keeps; None where no round has answers on the validation cell."""
    names, answers = candidates([_answers(loop)], VALIDATION)
    try:
        choice = choose(answers)
    except ValueError:  # not evaluated on it, or no problem in common
        return None
    return Kept(rounds=tuple(name.round for name in names), answers=answers, choice=choice)


def why(kept: Kept) -> str:
    """The choice in a sentence or two."""
    choice, rounds = kept.choice, kept.rounds
    if not choice.told_apart:
        return (
            f"Round {kept.round} is kept, because nothing tells the rounds apart: on the validation cell all "
            f"have {kept.accuracy(choice.place)} right answers and save the same steps."
        )
    if choice.place == choice.best:
        others = [rounds[place] for place in choice.within if place != choice.best]
        beside = (
            f", and saves no fewer steps than round {_listed(others)}, within one standard error of it"
            if others
            else ""
        )
        return f"Round {kept.round} has the most right answers on the validation cell{beside}."
    found = choice.differences[choice.place]
    assert found is not None
    return (
        f"Round {rounds[choice.best]} has the most right answers on the validation cell, "
        f"{kept.accuracy(choice.best)}. Round {kept.round} has {kept.accuracy(choice.place)}, within one "
        f"standard error of it ({signed(100 * found.mean, 1)} points, paired over {found.num_pairs} problems), "
        f"and saves more steps: {_saved(kept, choice.place)} against {_saved(kept, choice.best)}."
    )


def choice_table(kept: Kept) -> Table:
    """Every round on the validation cell, and what the rule makes of it."""
    rows = []
    accuracy, shared = kept.answers.accuracy(), kept.answers.shared
    num = int(shared.sum())
    for place, round_ in enumerate(kept.rounds):
        found = kept.choice.differences[place]
        if found is None:
            continue
        low, high = wilson_interval(round(float(accuracy[place]) * num), num)
        within = place in kept.choice.within
        verdict = (
            "most right answers" if place == kept.choice.best else "within one error" if within else "behind"
        )
        notes = (Note(text="kept", css="ok"),) if place == kept.choice.place else ()
        cells = (
            Cell(text=kept.accuracy(place), notes=(Note(text=f"{bare_percent(low)}–{bare_percent(high)}"),)),
            Cell(text=signed(100 * found.mean, 1), notes=_interval(found.low, found.high)),
            Cell(text=_saved(kept, place)),
            Cell(text=verdict, notes=notes),
        )
        rows.append(Row(head=str(round_), cells=cells))
    heads = (
        "Round",
        "Accuracy (95 % interval)",
        "Less the best, points (95 % interval)",
        "Steps saved",
        "Verdict",
    )
    group = Group(name=VALIDATION, about=f"{num} problems that all rounds answered", rows=tuple(rows))
    return Table(label="rounds on the validation cell", heads=heads, groups=(group,))


def rules_table(loop: LoopRecord) -> Table | None:
    """What every rule would keep, with accuracy and regret on the test cells; None before there are any."""
    cells = [cell for cell in loop.cells if cell != VALIDATION]
    found = kept_by_rules([_answers(loop)], cells)
    if not found:
        return None
    rows = []
    for rule in Rule:
        ours = {one.cell: one for one in found if one.rule is rule}
        if not ours:
            continue
        kept = next(iter(ours.values())).kept.round
        figures = [Cell(text=str(kept))]
        for cell in cells:
            one = ours.get(cell)
            if one is None:
                figures.append(Cell(text=ABSENT))
                continue
            regret = 100 * one.cost.regret
            note = f"regret {regret:.1f}" if regret else f"the best (round {one.oracle.round})"
            figures.append(Cell(text=percent(one.cost.accuracy), notes=(Note(text=note),)))
        rows.append(Row(head=rule.value, cells=tuple(figures)))
    heads = ("Rule", "Round kept", *(f"Accuracy on {cell}" for cell in cells))
    return Table(label="rules for stopping", heads=heads, groups=(Group(name="", rows=tuple(rows)),))


def _answers(loop: LoopRecord) -> LoopAnswers:
    return loop_answers(loop, loop.run.name, int(loop.run.config.get("seed", 0)))


def _saved(kept: Kept, place: int) -> str:
    saved = float(kept.answers.steps_saved()[place])
    return ABSENT if math.isnan(saved) else percent(saved)


def _interval(low: float, high: float) -> tuple[Note, ...]:
    if math.isnan(low):
        return ()
    return (Note(text=f"{signed(100 * low, 1)} to {signed(100 * high, 1)}"),)


def _listed(rounds: list[int]) -> str:
    *first, last = map(str, rounds)
    return f"{', '.join(first)} or {last}" if first else last
