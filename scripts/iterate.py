"""Run a loop: step skipping, or expert iteration over search, round after round.

With a section `iterate`, a round asks for fewer steps, keeps what is right, mixes it with full traces and
trains again from the base model. With `expert_iteration`, it searches, keeps what verifies and trains further
on it. CONFIG is a YAML file with one of these sections, or the name of a shipped config. Every key can be set
as dotted key=value.
"""

from __future__ import annotations

from rollout.interruption import ended_by_signals
from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.train import run_arguments, with_run_arguments


def make_parser() -> Arguments:
    """The arguments of a loop."""
    parser = Arguments(
        "iterate",
        about=f"{__doc__}",
        example="stride iterate step_skipping iterate.rounds=2 output_dir=runs/short",
    )
    return with_run_arguments(parser)


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, run the loop, print the table of its rounds and where its page is."""
    arguments = run_arguments(make_parser(), argv)
    with ended_by_signals("stopped before the run began") as signals, user_errors():
        from configs import load_config

        config = load_config(arguments.config, arguments.overrides)
        from rl.runs.folder import run_path
        from rl.runs.state import describe_next

        signals.last_words = lambda: f"stopped; {describe_next(run_path(config))}"
        from rl.iterate.files import rounds_log
        from rl.iterate.run import iterate
        from rl.iterate.table import rounds_table

        folder = iterate(
            config, resume=arguments.resume, overwrite=arguments.overwrite, allow=arguments.allow_change
        )
        if config.expert_iteration is None:
            print(rounds_table(rounds_log(folder.path).read()))
        else:
            from rl.pages.search.expert import expert_table

            print(expert_table(folder.path))
        print(f"report: {folder.path / 'report.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
