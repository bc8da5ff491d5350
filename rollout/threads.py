"""How the threads of torch wait for each other."""

from __future__ import annotations

import os

_NAME, _SLEEP = "OMP_WAIT_POLICY", "PASSIVE"


def let_threads_sleep() -> None:
    """Let OpenMP threads sleep while they wait, unless the user has chosen; call it before torch is imported.

    By default they spin. On a machine that is not idle they then hold the core that the thread they wait for
    needs, and an update takes several times as long.
    """
    os.environ.update(wait_policy())


def wait_policy() -> dict[str, str]:
    """The environment variable for processes on other machines."""
    return {_NAME: os.environ.get(_NAME, _SLEEP)}
