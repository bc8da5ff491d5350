"""The top of a loop's page: a verdict, headline figures, what was run.

In: a `LoopRecord` and the round that is kept. Out: text and data for the template.
"""

from __future__ import annotations

from rl.iterate.read import LoopRecord
from rl.iterate.record import VALIDATION, RoundRow, Solved
from rl.pages.figures import Fact, Tile
from rl.pages.iteration.choice import Kept, why
from rl.pages.iteration.followed import request_name
from rl.pages.iteration.solved import steps_frac
from rl.stats.format import number, percent

_MIXES = {
    "new": "all full traces and all answers that were kept",
    "equal": "as many full traces as kept answers, drawn at random",
    "skipped_only": "the kept answers alone",
}


def shown_round(loop: LoopRecord, kept: Kept | None) -> RoundRow | None:
    """The round that the page speaks of: the one that is kept, or else the last; None before the first."""
    if not loop.rounds:
        return None
    return next((row for row in loop.rounds if kept is not None and row.round == kept.round), loop.rounds[-1])


def verdict(loop: LoopRecord, kept: Kept | None) -> str:
    """The loop in a few sentences.

    Example: Round 1 has the most right answers on the validation cell. Its standard model: 99.0 % right on id
    in 2.31 of 2.86 steps (round 0: 99.5 % in 2.80); 12.0 % right on ood_easy in 4.01 of 5.20 steps (round 0:
    2.0 % in 5.10).
    """
    one = shown_round(loop, kept)
    if one is None:
        return f"No round of {loop.planned} is finished yet."
    first = loop.rounds[0]
    sentences = [why(kept)] if kept is not None else []
    cells = [cell for cell in one.solved if cell != VALIDATION]
    if cells:
        name = "Its standard model" if kept is not None else f"The standard model of round {one.round}"
        parts = [
            _figures(cell, one.solved[cell], first.solved.get(cell) if one is not first else None)
            for cell in cells
        ]
        sentences.append(f"{name}: {'; '.join(parts)}.")
    if len(loop.rounds) < loop.planned:
        sentences.append(f"Unfinished: {len(loop.rounds)} of {loop.planned} rounds.")
    return " ".join(sentences)


def tiles(loop: LoopRecord, kept: Kept | None) -> list[Tile]:
    """The headline figures of the round that is kept, round 0 below each."""
    one = shown_round(loop, kept)
    if one is None:
        return []
    first = loop.rounds[0]
    role = "Round kept" if kept is not None else "Last round"
    note = f"of 0 to {loop.rounds[-1].round}"
    made = [Tile(name=role, figure=str(one.round), notes=(note,))]
    for cell in [cell for cell in one.solved if cell != VALIDATION]:
        then = first.solved.get(cell)
        notes = (f"round 0: {percent(then.accuracy)}",) if then is not None and one is not first else ()
        made.append(Tile(name=f"Right on {cell}", figure=percent(one.solved[cell].accuracy), notes=notes))
    if (on_id := one.solved.get("id")) is not None and (share := steps_frac(on_id)) is not None:
        notes = (f"{number(on_id.steps_correct)} of {number(on_id.full_steps_correct)} steps",)
        made.append(Tile(name="Steps saved on id", figure=percent(1 - share), notes=notes))
    asked = [row.asked for row in loop.rounds if row.asked is not None and row.asked.kept_verified is not None]
    if num := sum(one.kept for one in asked):
        unverified = num - sum(one.kept_verified or 0 for one in asked)
        notes = (f"{unverified:,} of {num:,} kept answers",)
        made.append(Tile(name="Kept, not verified", figure=percent(unverified / num), notes=notes))
    return made


def what_was_run(loop: LoopRecord) -> list[Fact]:
    """The loop's settings in words."""
    config, settings = loop.run.config, loop.settings
    training = config.get("warm_start") or {}
    fewer = ", ".join(request_name(one) for one in settings.get("fewer", []))
    init = (
        "full traces and hand-skipped ones (warm)" if settings.get("init") == "warm" else "full traces (cold)"
    )
    keep = "right, with exactly the steps asked for and fewer than full"
    if settings.get("keep") == "verified":
        keep += ", every line verified"
    rounds = f"{settings.get('rounds')}, of which {max(0, len(loop.rounds) - 1)} are finished"
    by = (
        "GRPO from the model of the round before"
        if settings.get("train") == "grpo"
        else "SFT from the base model"
    )
    facts = [
        Fact(name="Round 0 learns", text=init),
        Fact(name="Rounds after it", text=rounds),
        Fact(name="Asked on train", text=f"{training.get('num_problems'):,} problems for {fewer} steps"),
        Fact(name="Kept", text=keep),
        Fact(name="Mix of a round", text=_MIXES.get(str(settings.get("mix")), str(settings.get("mix")))),
        Fact(
            name="Every training",
            text=f"{by}: {training.get('updates'):,} updates of {training.get('batch_size')} demonstrations",
        ),
        Fact(name="Model", text=str((config.get("policy") or {}).get("model")), is_code=True),
    ]
    if settings.get("validation"):
        facts.append(Fact(name="Validation cell", text=str(settings["validation"]), is_code=True))
    return facts


def _figures(cell: str, now: Solved, then: Solved | None) -> str:
    text = f"{percent(now.accuracy)} right on {cell}"
    if now.steps_correct is not None:
        text += f" in {number(now.steps_correct)} of {number(now.full_steps_correct)} steps"
    if then is None:
        return text
    steps = "" if then.steps_correct is None else f" in {number(then.steps_correct)}"
    return f"{text} (round 0: {percent(then.accuracy)}{steps})"
