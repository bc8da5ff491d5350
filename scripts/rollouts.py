"""Browse the trajectories of one or more runs in a browser.

The page is served on this machine until Ctrl-C and loads what is shown, so a run may have a million
trajectories; --html writes it to one self-contained file, which holds some ten thousand. Several runs are
shown side by side. To look from another machine: ssh -L 8000:127.0.0.1:8000 HOST, with --port 8000 there; or
--host 0.0.0.0, which answers whoever has the token in the printed link.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors


def _updates(text: str) -> range:
    """The updates of an argument such as 490-500 or 500."""
    found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of updates; give one such as 490-500, or one update"
        )
    return range(first, last + 1)


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, read the runs, serve or write the page."""
    parser = Arguments("rollouts", about=f"{__doc__}", example="stride rollouts runs/quickstart")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=0, help="port of the server; default: a free one")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; default: 127.0.0.1, which only this machine reaches",
    )
    where.add_argument("--html", type=Path, metavar="FILE", help="write the page to a file and serve nothing")
    parser.add_argument(
        "--updates",
        type=_updates,
        metavar="A-B",
        help="of GRPO's samples and evaluations only those of these updates, such as 490-500; default: all",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.viewer import check_free, read_trajectories, serve, write_page

        if arguments.html is not None:
            check_free(arguments.html, overwrite=arguments.overwrite)
        trajectories = read_trajectories(arguments.runs, arguments.updates)
        if arguments.html is not None:
            write_page(trajectories, arguments.html, overwrite=arguments.overwrite)
            print(f"{trajectories.num} trajectories: {arguments.html}")
        else:
            about = f"{trajectories.num} trajectories; Ctrl-C ends the server"
            serve(
                trajectories,
                arguments.port,
                host=arguments.host,
                on_ready=lambda link: print(f"{link}  ({about})", flush=True),
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
