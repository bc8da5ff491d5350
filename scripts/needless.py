"""Measure how well published rules guess which steps of right traces were needless.

Problems are sampled, and every line of the right samples is judged twice. By the environment: needed, or
needless (skippable or wasted). By the rules of SAS, step entropy, SwAP, DECS and Monte-Carlo values, which read
the policy's probabilities, the text, and continuations from each boundary of steps. Precision, recall and
ranking of each rule are printed and written, with every line as CSV and a page.

MODEL is the folder of a run or of a model, a hub id, or `config` for the config's own policy. CONFIG may be
left out for a model of a run. Of it, the sections env, policy, prompt, rollout and eval are used. Each batch
of problems (`rollout.problems_per_batch`) is written when it is done, so a measurement that was stopped goes on
with --resume.
"""

from __future__ import annotations

from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.find_model import add_model, find_model, parse_with_model


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, measure, print the table."""
    parser = Arguments("needless", about=f"{__doc__}", example="stride needless runs/search --problems 100")
    add_model(parser)
    parser.add_argument("--split", default="id", choices=["train", "id", "ood_easy", "ood_hard"])
    parser.add_argument("--problems", type=int, default=100, metavar="N", help="problems (default 100)")
    parser.add_argument("--samples", type=int, default=4, metavar="M", help="samples of each (default 4)")
    parser.add_argument(
        "--continuations", type=int, default=8, metavar="K", help="from each boundary (default 8)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="new folder; default: a free one in runs/"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the measurement in --output")
    arguments = parse_with_model(parser, argv)
    for name in ("problems", "samples", "continuations"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} is {getattr(arguments, name)}; give 1 or more")
    if arguments.resume and arguments.output is None:
        parser.error("--resume needs the folder to go on with: --output FOLDER")
    with user_errors():
        model, config = find_model("needless", arguments.model, arguments.config, arguments.overrides)
        from rl.needless.run import measure_guesses

        folder = measure_guesses(
            model,
            config,
            split=arguments.split,
            num_problems=arguments.problems,
            num_samples=arguments.samples,
            num_continuations=arguments.continuations,
            output=arguments.output,
            resume=arguments.resume,
        )
        from rl.needless.text import guesses_text

        print(guesses_text(folder))
        print(f"\nlines, table and page: {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
