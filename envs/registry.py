"""Environments by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from envs.addition import Addition
from envs.algebra import Algebra
from envs.arc_1d import Arc1D
from envs.base import Env
from envs.countdown import Countdown
from envs.directional import Directional
from envs.geometry import Geometry
from envs.graph_search import GraphSearch
from envs.math_problems import MathProblems
from envs.reasoning_gym import ReasoningGym
from envs.sudoku import Sudoku

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
        ValueError: The name is unknown (the message gives the nearest one), a setting is wrong, or the data it
            names is.
    """
    if name not in ENVS:
        close = get_close_matches(name, ENVS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(f"unknown environment '{name}'{hint} known: {', '.join(sorted(ENVS))}")
    return ENVS[name](settings)


def make_example(name: str, **settings: object) -> Env[Any]:
    """Build an environment with the settings it is tried with, and more.

    Raises:
        ValueError: As `make_env`.
    """
    return make_env(name, {**(ENVS[name].example if name in ENVS else {}), **settings})
