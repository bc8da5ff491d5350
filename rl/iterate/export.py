"""The raw figures of a study over loops, as CSV text.

In: a `LoopStudy`. Out: `rounds.csv` (a line for each model, round and cell or request), `answers.csv` (a line
for each answer of a standard model, by which rounds are compared) and `regret.csv` (a line for each rule,
seed and cell).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from rl.iterate.record import Asked, Following, ModelKind, Solved
from rl.iterate.study import LoopStudy

_OF = ("case", "seed", "round")
_ANSWER = ("index", "correct", "verified", "steps", "full_steps", "invalid", "tokens")


def rounds_csv(study: LoopStudy) -> str:
    """Every figure of every round: what was asked and kept, requests followed, problems solved."""
    rows: list[dict[str, Any]] = []
    for loop in study.loops:
        for row in loop.record.rounds:
            about = {"case": loop.case, "seed": loop.seed, "round": row.round}
            mix = {"num_full": row.num_full, "num_skipped": row.num_skipped, "updates": row.updates}
            if row.asked is not None:
                rows.append({**about, **mix, "model": "asked", "cell": "train", **_named("asked", row.asked)})
            for fewer, following in row.following.items():
                model = {"model": ModelKind.CONDITIONED.value, "cell": "id", "fewer": fewer}
                rows.append({**about, **mix, **model, **_named("following", following)})
            for cell, solved in row.solved.items():
                model = {"model": ModelKind.STANDARD.value, "cell": cell}
                rows.append({**about, **mix, **model, **_named("solved", solved)})
    kinds: Sequence[tuple[str, type[Any]]] = (("asked", Asked), ("following", Following), ("solved", Solved))
    figures = [f"{name}.{field.name}" for name, kind in kinds for field in fields(kind)]
    return _csv([*_OF, "model", "cell", "fewer", "num_full", "num_skipped", "updates", *figures], rows)


def answers_csv(study: LoopStudy) -> str:
    """Every answer of the standard models, without its text."""
    rows = (
        {
            "case": loop.case,
            "seed": loop.seed,
            "round": number,
            "cell": cell,
            **{name: _plain(getattr(answer, name)) for name in _ANSWER},
        }
        for loop in study.loops
        for number, cells in loop.record.standard.items()
        for cell, answers in cells.items()
        for answer in answers
    )
    return _csv([*_OF, "cell", *_ANSWER], rows)


def regret_csv(study: LoopStudy) -> str:
    """What every rule keeps of the loops of each seed, and what that costs on each test cell."""
    rows = (
        {
            "case": one.case,
            "seed": one.seed,
            "rule": one.rule.value,
            "cell": one.cell,
            "kept_case": one.kept.case,
            "kept_round": one.kept.round,
            "accuracy": one.cost.accuracy,
            "steps_saved": one.cost.steps_saved,
            "oracle_case": one.oracle.case,
            "oracle_round": one.oracle.round,
            "oracle": one.cost.oracle,
            "regret": one.cost.regret,
        }
        for _, part in study.parts()
        for one in part.kept
    )
    kept = ("kept_case", "kept_round", "accuracy", "steps_saved")
    return _csv(
        ["case", "seed", "rule", "cell", *kept, "oracle_case", "oracle_round", "oracle", "regret"], rows
    )


def _named(kind: str, figures: Any) -> dict[str, Any]:
    return {f"{kind}.{name}": value for name, value in asdict(figures).items()}


def _plain(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
