"""Environments by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from envs.base import Env
from envs.grading import GraderError
from envs.modules import describe_error
from envs.own import find_own_env
from envs.tasks.addition import Addition
from envs.tasks.algebra.task import Algebra
from envs.tasks.arc_1d.task import Arc1D
from envs.tasks.countdown.task import Countdown
from envs.tasks.directional import Directional
from envs.tasks.geometry.task import Geometry
from envs.tasks.graph_search.task import GraphSearch
from envs.tasks.math.task import MathProblems
from envs.tasks.multistep_arithmetic.task import MultistepArithmetic
from envs.tasks.reasoning_gym.task import ReasoningGym
from envs.tasks.sudoku.task import Sudoku

ENVS: dict[str, type[Env[Any]]] = {
    env.name: env
    for env in (
        Directional,
        Addition,
        Algebra,
        Countdown,
        MultistepArithmetic,
        GraphSearch,
        Sudoku,
        Arc1D,
        Geometry,
        MathProblems,
        ReasoningGym,
    )
}


MIXTURE = "mixture"
"""Name of the environment that is made of others; it is no task of its own, so it is not in `ENVS`."""


def find_env(name: str, folder: str | None = None) -> type[Env[Any]]:
    """The class of an environment: one of `ENVS`, a mixture, or a user's own as `package.module:Class`.

    Args:
        name: The name.
        folder: A folder in which to look for a user's module, as `envs.modules` does.

    Raises:
        ValueError: The name is unknown (the message gives the nearest one), or the user's class cannot be had.
    """
    if name in ENVS:
        return ENVS[name]
    if ":" in name:
        return find_own_env(name, folder)
    if name == MIXTURE:
        from envs.mixture import Mixture  # which builds its parts with this module

        return Mixture
    close = get_close_matches(name, [*ENVS, MIXTURE], n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    raise ValueError(
        f"unknown environment '{name}'{hint} known: {', '.join([*sorted(ENVS), MIXTURE])}, or your own as "
        "package.module:Class"
    )


def make_env(name: str, settings: Mapping[str, Any] | None = None, folder: str | None = None) -> Env[Any]:
    """Build an environment.

    Args:
        name: A key of `ENVS`, or `package.module:Class`.
        settings: Its settings, as in the config's `env.settings`.
        folder: A folder in which to look for a user's module.

    Raises:
        ValueError: The name is unknown (the message gives the nearest one), a setting is wrong, the data that
            the settings name is wrong, or a user's class cannot be built.
    """
    found = find_env(name, folder)
    try:
        return found(settings)
    except (ValueError, GraderError):
        raise
    except Exception as error:
        if ":" not in name:
            raise
        raise ValueError(f"building '{name}' raised {describe_error(error)}") from None


def make_example(name: str, folder: str | None = None, /, **settings: object) -> Env[Any]:
    """Build an environment with its example settings; `settings` are added or replace them.

    Raises:
        ValueError: For the same reasons as `make_env`.
    """
    return make_env(name, {**find_env(name, folder).example, **settings}, folder)
