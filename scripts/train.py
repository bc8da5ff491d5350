"""Run a config: warm start, GRPO, evaluation, report.

python scripts/train.py configs/quickstart.yaml [key=value ...] [--resume | --overwrite]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.exits import ended_by_signals, user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, train, print the result table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="YAML file, for example configs/quickstart.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="config keys, dotted")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    what.add_argument("--overwrite", action="store_true", help="replace the run in the output folder")
    arguments = parser.parse_intermixed_args(argv)
    with ended_by_signals("ended; --resume goes on from the newest checkpoint"), user_errors():
        from configs import load_config

        config = load_config(arguments.config, arguments.overrides)
        from rl.pages.text import result_table
        from rl.train import train

        folder = train(config, resume=arguments.resume, overwrite=arguments.overwrite)
        print(result_table(folder.summary()))
        print(f"report: {folder.path / 'report.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
