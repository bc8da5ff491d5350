"""Browse the trajectories of one or more runs in a browser.

The page is served on this machine until Ctrl-C, or written to one self-contained file with --html. Several runs
are shown side by side. To look from another machine: ssh -L 8000:127.0.0.1:8000 HOST, with --port 8000 there.
"""

from __future__ import annotations

from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, read the runs, serve or write the page."""
    parser = Arguments("rollouts", about=f"{__doc__}", example="stride rollouts runs/quickstart")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=0, help="port of the server; default: a free one")
    where.add_argument("--html", type=Path, metavar="FILE", help="write the page to a file and serve nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
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
