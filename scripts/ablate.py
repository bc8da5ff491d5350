"""Compare configs: run every case of an ablation with every seed, then write one report.

python scripts/ablate.py configs/ablations/backtracks.yaml [key=value ...] [--output FOLDER] [--dry-run]

Overrides change the base config of all cases. Run again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.exits import RUN_FAILED, user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, run the plan, write report and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ablation", help="YAML file, for example configs/ablations/backtracks.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="keys of the base config, dotted")
    parser.add_argument("--output", type=Path, help="folder to write to; default runs/<name>")
    parser.add_argument("--dry-run", action="store_true", help="show the runs and stop")
    parser.add_argument("--report", action="store_true", help="write the report of what is finished and stop")
    arguments = parser.parse_intermixed_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with user_errors():
        from configs.ablation import load_ablation
        from rl.ablation import is_done, run_plan
        from rl.ablation_report import write_comparison
        from rl.ablation_results import comparison

        plan = load_ablation(arguments.ablation, arguments.overrides, arguments.output)
        if arguments.dry_run:
            for trial in plan.trials:
                after = f", after {trial.after}" if trial.after else ""
                print(f"{trial.name}: {'done' if is_done(trial) else 'to run'}{after}")
            return 0
        failures = () if arguments.report else run_plan(plan)
        print(comparison(plan))
        print(f"report: {write_comparison(plan, failures)}")
    for failure in failures:
        print(f"failed: {failure.trial}: {failure.reason}", file=sys.stderr)
    return RUN_FAILED if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
