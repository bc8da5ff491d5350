"""Write the report of a run again, or compare finished runs, from what their folders hold.

python scripts/report.py runs/quickstart                                   # runs/quickstart/report.html
python scripts/report.py runs/a runs/b [runs/c ...] [--output FILE.html]   # a comparison, comparison.html
python scripts/report.py runs/backtracks                                   # all runs in that folder

Runs whose configs differ in the seed alone are one case with several seeds; the first case is the one the
others are compared with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.exits import user_errors

DEFAULT = Path("comparison.html")


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, write the report, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="folder of a run, or one that holds runs"
    )
    parser.add_argument(
        "--output", metavar="FILE.html", type=Path, help=f"where a comparison goes; default {DEFAULT} here"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is no report")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.compare.folders import is_run
        from rl.pages.comparison.write import compare_folders
        from rl.pages.run.write import write_report
        from rl.runs.folder import RunFolderError

        if len(arguments.runs) == 1 and is_run(arguments.runs[0]):
            if arguments.output is not None or arguments.overwrite:
                raise RunFolderError(
                    "the report of one run goes into its folder; --output and --overwrite are for comparisons: "
                    "give more runs, or leave them out"
                )
            print(f"report: {write_report(arguments.runs[0])}")
            return 0
        output = arguments.output or DEFAULT
        print(compare_folders(arguments.runs, output, overwrite=arguments.overwrite))
        print(f"report: {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
