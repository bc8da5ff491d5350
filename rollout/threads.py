"""How the threads of torch wait for each other."""

from __future__ import annotations

import os

# Turns of an empty loop before a waiting thread sleeps. On an idle machine so many are as fast as spinning on,
# beside busy processes nearly as fast as sleeping at once (docs/LOG.md). Only libgomp reads the number.
_SPIN_BRIEFLY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def let_threads_sleep() -> None:
    """Let OpenMP threads sleep after a short wait, unless the user has chosen.

    It must be called before torch is imported. By default they spin for milliseconds. On a machine that is not
    idle they then hold the core that the thread they wait for needs, and an update takes several times as long.
    """
    os.environ.update(wait_policy())


def wait_policy() -> dict[str, str]:
    """The environment variables for processes on other machines."""
    chosen = {name: os.environ[name] for name in _SPIN_BRIEFLY if name in os.environ}
    return chosen or dict(_SPIN_BRIEFLY)
