"""Write the report of one run again, or compare several finished runs, from their folders.

One run gets its report.html again. Several runs, or a folder that holds runs, become a comparison. Runs whose
configs differ only in the seed are one case with several seeds; the first case is the baseline of the others.
"""

from __future__ import annotations

from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors

DEFAULT = Path("comparison.html")


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, write the report, say where it is."""
    parser = Arguments(
        "report", about=f"{__doc__}", example="stride report runs/a runs/b --output comparison.html"
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="folder of a run, one that holds runs, or stored results",
    )
    parser.add_argument(
        "--output", metavar="FILE.html", type=Path, help=f"file of a comparison; default {DEFAULT}"
    )
    parser.add_argument(
        "--store", metavar="DIR", type=Path, help="store the results of a comparison, to write its page from"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.html even where it is no report")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.iterate.read import is_loop
        from rl.pages.comparison.write import compare_folders
        from rl.pages.iteration.write import write_loop_report
        from rl.pages.run.write import write_report
        from rl.pages.search.expert import write_expert_report
        from rl.runs.errors import RunFolderError
        from rl.runs.read import is_run, read_config

        if len(arguments.runs) == 1 and is_run(arguments.runs[0]):
            if arguments.output is not None or arguments.overwrite or arguments.store is not None:
                raise RunFolderError(
                    "the report of one run goes into its folder; --output, --store and --overwrite are for "
                    "comparisons: "
                    "give more runs, or leave them out"
                )
            folder = arguments.runs[0]
            if read_config(folder).get("expert_iteration"):
                write = write_expert_report
            else:
                write = write_loop_report if is_loop(folder) else write_report
            print(f"report: {write(folder)}")
            return 0
        output = arguments.output or DEFAULT
        print(compare_folders(arguments.runs, output, overwrite=arguments.overwrite, store_in=arguments.store))
        print(f"report: {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
