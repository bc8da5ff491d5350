"""Run a config: warm start, GRPO, evaluation and a report.

CONFIG is a YAML file or the name of a shipped config. Every key of the config can be set as dotted key=value.
"""

from __future__ import annotations

import argparse

from rollout.interruption import ended_by_signals
from scripts.arguments import Arguments
from scripts.exits import user_errors


def make_parser() -> Arguments:
    """The arguments of a run; `stride submit` checks those of a job with it."""
    parser = Arguments(
        "train", about=f"{__doc__}", example="stride train quickstart grpo.updates=60 output_dir=runs/short"
    )
    return with_run_arguments(parser)


def with_run_arguments(parser: Arguments) -> Arguments:
    """Add the arguments of commands that train; `stride iterate` has the same."""
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of a shipped config")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="config keys, dotted")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", action="store_true", help="continue the run in the output folder")
    what.add_argument("--overwrite", action="store_true", help="replace the run in the output folder")
    parser.add_argument(
        "--allow-change",
        metavar="KEY",
        action="append",
        default=[],
        help="with --resume: a key or section that may change though it decides what is trained; repeatable",
    )
    return parser


def run_arguments(parser: Arguments, argv: list[str] | None) -> argparse.Namespace:
    """Parse arguments that `with_run_arguments` has added."""
    arguments = parser.parse_intermixed_args(argv)
    if arguments.allow_change and not arguments.resume:
        parser.error("--allow-change goes with --resume")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, train, print the result table."""
    arguments = run_arguments(make_parser(), argv)
    with ended_by_signals("stopped before the run began") as signals, user_errors():
        from configs import load_config

        config = load_config(arguments.config, arguments.overrides)
        from rl.runs.folder import run_path
        from rl.runs.state import describe_next

        signals.last_words = lambda: f"stopped; {describe_next(run_path(config))}"
        from rl.pages.text import result_table
        from rl.train import train

        folder = train(
            config, resume=arguments.resume, overwrite=arguments.overwrite, allow=arguments.allow_change
        )
        stages = folder.summary().stages
        print(result_table(stages.items()))
        if config.eval.search:
            from rl.search.text import stage_searches_text

            print(f"\n{stage_searches_text(folder.path, stages)}")
        print(f"report: {folder.path / 'report.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
