"""Write the report of a run again, from what its folder holds.

python scripts/report.py runs/quickstart
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, write the report, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, for example runs/quickstart")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.report import write_report

        print(f"report: {write_report(arguments.run)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
