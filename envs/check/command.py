"""The command that checks environments: `python -m envs.check [NAME ...]`.

In: names of environments. Out: one line for each on standard output, and the exit status.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence

from envs.check.contract import EnvContractError, check_env
from envs.registry import ENVS, make_example

_DESCRIPTION = """\
Check environments against the contract that every one must keep:
  - problems are the same on every call, and no question is in two splits;
  - the gold answer and the reference traces are accepted;
  - almost right answers and traces, and hostile texts, are refused;
  - no text makes the check raise.

Prints one line per environment: problems generated, mean steps of the full traces,
reference traces accepted, near misses refused, problems generated per second."""

_EXIT_STATUS = "exit status: 0 if all pass, 1 if one breaks the contract, 2 if a name or an option is wrong"


def main(argv: Sequence[str], prog: str = "python -m envs.check") -> int:
    """Check the named environments, or all of them, and write one line for each.

    Args:
        argv: The command line without the program's name.
        prog: The program's name in the help.

    Returns:
        The exit status: 0 if all pass, 1 if one breaks its contract, 2 if a name is unknown.

    Raises:
        SystemExit: By argparse: help was asked for (0), or an option is wrong (2).
    """
    parser = ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=f"environments: {', '.join(sorted(ENVS))}\n{_EXIT_STATUS}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="environment to check; without any, all are")
    parser.add_argument(
        "-n", "--num-problems", type=_positive, default=200, help="problems per split (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    try:
        envs = [make_example(name) for name in arguments.names or ENVS]
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{'environment':<13} {'problems':>8} {'steps':>6} {'traces':>7} ")
    sys.stdout.write(f"{'near misses':>11} {'problems/s':>10}\n")
    status = 0
    for env in envs:
        try:
            report = check_env(env, num_problems=arguments.num_problems)
        except EnvContractError as error:
            sys.stdout.write(f"{env.name:<13} FAILED: {error}\n")
            status = 1
            continue
        sys.stdout.write(
            f"{report.name:<13} {report.num_problems:>8} {report.mean_full_steps:>6.2f} "
            f"{report.num_traces:>7} {report.num_near_misses:>11} {report.problems_per_s:>10.0f}\n"
        )
    return status


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)
