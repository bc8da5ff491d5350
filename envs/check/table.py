"""The table of `stride check`: a line for each environment, and what its contract could not cover."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from envs.base import Env
from envs.check.contract import check_env
from envs.check.judge import EnvContractError
from envs.modules import describe_error
from envs.own import is_own


def check_all(envs: Mapping[str, Env[Any]], *, num_problems: int) -> int:
    """Check environments and write a line for each to standard output.

    Args:
        envs: The environments, by the name that the line shows.
        num_problems: Problems per split.

    Returns:
        How many break the contract.
    """
    width = max(13, *map(len, envs))
    sys.stdout.write(f"{'environment':<{width}} {'problems':>8} {'steps':>6} {'traces':>7} ")
    sys.stdout.write(f"{'near misses':>11} {'problems/s':>10}\n")
    num_broken = 0
    for name, env in envs.items():
        try:
            report = check_env(env, num_problems=num_problems)
        except Exception as error:
            if isinstance(error, EnvContractError):
                fault = str(error)
            elif is_own(env):
                fault = f"it raised {describe_error(error)}"
            else:
                raise
            sys.stdout.write(f"{name:<{width}} FAILED: {fault}\n")
            num_broken += 1
            continue
        sys.stdout.write(
            f"{name:<{width}} {report.num_problems:>8} {report.mean_full_steps:>6.2f} "
            f"{report.num_traces:>7} {report.num_near_misses:>11} {report.problems_per_s:>10.0f}\n"
        )
        if report.not_checked and is_own(env):
            sys.stdout.write(f"  not defined, so not checked: {', '.join(report.not_checked)}\n")
    return num_broken
