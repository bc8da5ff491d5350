"""Browse what the model wrote: a page with every trajectory of one or more runs.

python scripts/rollouts.py runs/quickstart                     # serve it on this machine, until Ctrl-C
python scripts/rollouts.py runs/quickstart --html page.html    # write it, as one file that needs nothing else
python scripts/rollouts.py runs/a runs/b                       # both, checkpoints of one beside the other's

From another machine: ssh -L 8000:127.0.0.1:8000 HOST, with --port 8000 there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, read the runs, serve or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, as runs/quickstart")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--port", type=int, default=0, help="port of the server; a free one where it is left out"
    )
    where.add_argument("--html", type=Path, metavar="FILE", help="write the page to a file and serve nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE where it is there already")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.viewer import check_free, read_trajectories, serve, write_page

        if arguments.html is not None:
            check_free(arguments.html, overwrite=arguments.overwrite)
        trajectories = read_trajectories(arguments.runs)
        if arguments.html is not None:
            write_page(trajectories, arguments.html, overwrite=arguments.overwrite)
            print(f"{trajectories.num} trajectories: {arguments.html}")
        else:
            about = f"{trajectories.num} trajectories; Ctrl-C ends the server"
            serve(trajectories, arguments.port, on_ready=lambda url: print(f"{url}  ({about})", flush=True))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
