"""Compare configs: run every case of an ablation with every seed on Ray Tune, then write a report.

ABLATION is a YAML file or the name of a shipped one. Overrides change the base config of all cases. The same
command again continues where it stopped. On a cluster --output must be an absolute path that all nodes see.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.interruption import ended_by_signals
from scripts.arguments import Arguments
from scripts.exits import RUN_FAILED, user_errors

if TYPE_CHECKING:
    from rl.ablation.schedule import Failure


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, run the plan, write report and table."""
    parser = Arguments("ablate", about=f"{__doc__}", example="stride ablate gate --dry-run")
    parser.add_argument("ablation", metavar="ABLATION", help="YAML file, or the name of a shipped ablation")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="keys of the base config, dotted"
    )
    parser.add_argument("--output", type=Path, help="folder to write to; default runs/<name>")
    parser.add_argument("--store", metavar="DIR", type=Path, help="store the results for `stride report DIR`")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="show the runs and their cost, and stop")
    what.add_argument("--report", action="store_true", help="write the report of the finished runs, and stop")
    arguments = parser.parse_intermixed_args(argv)
    with ended_by_signals("stopped; the same command continues where each run was stopped"):
        return _ablate(arguments)


def _ablate(arguments: argparse.Namespace) -> int:
    with user_errors():
        from configs.schema.ablation import load_ablation

        plan = load_ablation(arguments.ablation, arguments.overrides, arguments.output)
        if arguments.dry_run:
            from rl.ablation.preview import preview
            from rl.ablation.run import check_cases

            check_cases(plan)
            print(preview(plan))
            return 0
        if arguments.store is not None:
            from rl.ablation.report import check_store

            check_store(plan, arguments.store)
        failures: tuple[Failure, ...] = ()
        if not arguments.report:
            print(plan.headline, file=sys.stderr, flush=True)  # before torch is imported, which takes seconds
            from rl.ablation.run import run_plan

            failures = run_plan(plan)
        from rl.ablation.report import comparison, write_comparison

        print(comparison(plan))
        print(f"report: {write_comparison(plan, failures, store_in=arguments.store)}")
    for failure in failures:
        print(f"failed: {failure.trial}: {failure.reason}", file=sys.stderr)
    return RUN_FAILED if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
