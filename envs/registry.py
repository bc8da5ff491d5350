"""Environments by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from envs.base import Env
from envs.tasks.addition import Addition
from envs.tasks.algebra.task import Algebra
from envs.tasks.arc_1d.task import Arc1D
from envs.tasks.countdown.task import Countdown
from envs.tasks.directional import Directional
from envs.tasks.geometry.task import Geometry
from envs.tasks.graph_search.task import GraphSearch
from envs.tasks.math.task import MathProblems
from envs.tasks.reasoning_gym.task import ReasoningGym
from envs.tasks.sudoku.task import Sudoku

ENVS: dict[str, type[Env[Any]]] = {
    env.name: env
    for env in (
        Directional,
        Addition,
        Algebra,
        Countdown,
        GraphSearch,
        Sudoku,
        Arc1D,
        Geometry,
        MathProblems,
        ReasoningGym,
    )
}


def make_env(name: str, settings: Mapping[str, Any] | None = None) -> Env[Any]:
    """Build an environment.

    Args:
        name: A key of `ENVS`.
        settings: Its settings, as in the config's `env.settings`.

    Raises:
        ValueError: The name is unknown (the message gives the nearest one), a setting is wrong, or the data
            that the settings name is wrong.
    """
    if name not in ENVS:
        close = get_close_matches(name, ENVS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(f"unknown environment '{name}'{hint} known: {', '.join(sorted(ENVS))}")
    return ENVS[name](settings)


def make_example(name: str, **settings: object) -> Env[Any]:
    """Build an environment with its example settings; `settings` are added or replace them.

    Raises:
        ValueError: For the same reasons as `make_env`.
    """
    return make_env(name, {**(ENVS[name].example if name in ENVS else {}), **settings})
