"""Folders of step-skipping loops, written by hand: real problems, answers with figures chosen by the test."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from configs import check_config, dump_config
from envs import Env, Problem, Split, Trace, make_env
from rewards import Outcome
from rl.iterate.files import asked_log, evaluation_log, rounds_log
from rl.iterate.metrics import asked, following, solved
from rl.iterate.record import TRAIN, VALIDATION, AnswerRow, ModelKind, RoundRow

SETTINGS = {"train": ["2", "3", "4"], "ood_easy": ["5"], "ood_hard": ["7"]}
HARDER = {"ood_easy": ["6"]}
CELLS = ("id", "ood_easy", "ood_hard", VALIDATION)

Writes = Callable[[int, str, int], str]
"""How a problem is answered, from round, cell and index: "full", "skipped", "lucky" or "wrong"."""


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    """The config of a loop of one round on directional reasoning; `changes` are keys of `iterate`."""
    return {
        "name": folder.name,
        "output_dir": str(folder),
        "device": "cpu",
        "env": {"name": "directional", "settings": SETTINGS},
        "warm_start": {"updates": 20, "num_problems": 8, "batch_size": 4},
        "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
        "eval": {"num_problems": 10, "splits": ["id", "ood_easy", "ood_hard"]},
        "iterate": {"rounds": 1, "init": "cold", "validation": HARDER, **changes},
    }


def write_loop(folder: Path, writes: Writes, *, finished: int = 2, num: int = 10, **changes: Any) -> Path:
    """Write the folder of a loop.

    Args:
        folder: Where.
        writes: How the models answer. What is asked on train is its cell `train`.
        finished: Rounds that are finished, round 0 included; the config asks for no more unless `changes` do.
        num: Problems of each cell.
        changes: Keys of `iterate`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = check_config(config(folder, **{"rounds": max(0, finished - 1), **changes}))
    (folder / "config.yaml").write_text(dump_config(made))
    for number in range(finished):
        write_round(folder, number, writes, num=num)
    return folder


def write_round(folder: Path, number: int, writes: Writes, *, num: int = 10) -> None:
    """Add a finished round to a loop."""
    (folder / "rounds" / str(number)).mkdir(parents=True, exist_ok=True)
    requests = [
        _answer(number - 1, TRAIN, index, writes(number, TRAIN, index) if fewer == 1 else "lucky", fewer)
        for fewer in (1, 2)
        for index in range(num)
    ]
    if number:
        asked_log(folder, number).append(*requests)
    standard = {
        cell: [_answer(number, cell, index, writes(number, cell, index)) for index in range(num)]
        for cell in CELLS
    }
    evaluation_log(folder, number, ModelKind.STANDARD).append(
        *[row for rows in standard.values() for row in rows]
    )
    conditioned = {
        0: [_answer(number, "id", index, "full", 0) for index in range(num)],
        1: [_answer(number, "id", index, writes(number, "id", index), 1) for index in range(num)],
        2: [_answer(number, "id", index, "lucky", 2) for index in range(num)],
    }
    log = evaluation_log(folder, number, ModelKind.CONDITIONED)
    log.append(*[row for rows in conditioned.values() for row in rows])
    rounds_log(folder).append(
        RoundRow(
            round=number,
            num_full=num,
            num_skipped=sum(row.kept for row in requests) if number else 0,
            updates=20,
            asked=asked(requests) if number else None,
            following={str(fewer): following(rows) for fewer, rows in conditioned.items()},
            solved={cell: solved(rows) for cell, rows in standard.items()},
        )
    )


@cache
def _env(cell: str) -> Env[Any]:
    return make_env("directional", {**SETTINGS, **(HARDER if cell == VALIDATION else {})}, None)


def problem_of(cell: str, index: int) -> Problem:
    """A problem of a cell."""
    return _env(cell).problem(Split.OOD_EASY if cell == VALIDATION else Split(cell), index)


def text_of(problem: Problem, how: str, fewer: int = 1) -> str:
    """An answer to a problem; a lucky one leaves out steps that its first line does not do."""
    env = _env(TRAIN)
    full = env.full_trace(problem)
    if how == "skipped":
        shorter = env.skipped_trace(problem, "any_pair", random.Random(0))
        return env.demonstrate(shorter if shorter is not None else full, problem.answer)
    if how == "lucky" and fewer < len(full):
        return env.demonstrate(("west. left", *full[fewer + 1 :]), problem.answer)
    wrong = "south" if problem.answer != "south" else "north"
    return env.demonstrate(full, wrong if how == "wrong" else problem.answer)


def _answer(number: int, cell: str, index: int, how: str, fewer: int | None = None) -> AnswerRow:
    problem = problem_of(cell, index)
    text = text_of(problem, how, fewer or 1)
    trace: Trace = _env(cell).check(problem, _env(cell).parse(text))
    full = problem.num_full_steps
    wanted = None if fewer is None else full - fewer if full > fewer else full
    follows = bool(trace.correct) and trace.num_steps == wanted and trace.num_steps < full
    return AnswerRow(
        round=number,
        model=ModelKind.STANDARD if fewer is None else ModelKind.CONDITIONED,
        cell=cell,
        index=index,
        bucket=str(problem.difficulty),
        fewer=fewer,
        asked=wanted,
        full_steps=full,
        steps=trace.num_steps,
        outcome=Outcome.of(trace),
        steps_checked=True,
        invalid=trace.num_invalid,
        tokens=len(text.split()),
        text=text,
        stated=trace.answer,
        kept=cell == TRAIN and follows,
    )


def solving(shares: Mapping[str, Sequence[float]], *, skipped: float = 0.5, seed: int = 0) -> Writes:
    """Models that solve such shares of each cell by round, and skip a step in such a share of the answers."""

    def writes(number: int, cell: str, index: int) -> str:
        rng = random.Random(f"{seed} {cell} {index}")
        difficulty, rest = rng.random(), rng.random()
        shares_ = shares.get(cell, (1.0,))
        if difficulty >= shares_[min(number, len(shares_) - 1)]:
            return "wrong"
        return "skipped" if rest < skipped * number else "full"

    return writes
