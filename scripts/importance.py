"""Measure which steps of a model's own traces decide its final answers (Thought Anchors, arXiv 2506.19143).

Problems that the model solves sometimes are sampled; one trace of each is continued many times from before and
after every line. How much the final answers change is the importance of the line, and stands beside what the
environment knows of it: valid, merged, wrong, into a dead end, taken back.

MODEL is the folder of a run or of a model, a hub id, or `config` for the config's own policy. CONFIG may be
left out for a model of a run. Of it, the sections env, policy, prompt, rollout and eval are used; samples are
drawn with `eval.temperature`, in this process or on Ray actors as `rollout.backend` says. Each problem is
written when it is done, so an analysis that was stopped goes on with --resume.
"""

from __future__ import annotations

from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.find_model import add_model, find_model, parse_with_model


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, analyse, print the summary."""
    parser = Arguments(
        "importance", about=f"{__doc__}", example="stride importance runs/countdown --problems 20"
    )
    add_model(parser)
    parser.add_argument("--split", default="id", choices=["train", "id", "ood_easy", "ood_hard"])
    parser.add_argument("--problems", type=int, default=20, metavar="N", help="traces to analyse (default 20)")
    parser.add_argument(
        "--accuracy",
        type=float,
        nargs=2,
        default=(0.25, 0.75),
        metavar=("LOW", "HIGH"),
        help="band of the model's accuracy on a problem (default 0.25 0.75)",
    )
    parser.add_argument(
        "--samples", type=int, default=16, metavar="M", help="samples of a problem for it (default 16)"
    )
    parser.add_argument(
        "--continuations", type=int, default=64, metavar="K", help="from each boundary (default 64)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="new folder of the analysis; default: a free one in runs/"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the analysis in --output")
    arguments = parse_with_model(parser, argv)
    low, high = arguments.accuracy
    if not 0 <= low <= high <= 1:
        parser.error(f"--accuracy is {low:g} {high:g}; give two shares from 0 to 1, the lower one first")
    for name, least in (("problems", 1), ("samples", 1), ("continuations", 2)):
        if getattr(arguments, name) < least:
            parser.error(f"--{name} is {getattr(arguments, name)}; give {least} or more")
    if arguments.resume and arguments.output is None:
        parser.error("--resume needs the folder to go on with: --output FOLDER")
    with user_errors():
        model, config = find_model("importance", arguments.model, arguments.config, arguments.overrides)
        from rl.importance.run import analyse_model

        folder = analyse_model(
            model,
            config,
            split=arguments.split,
            num_problems=arguments.problems,
            num_samples=arguments.samples,
            accuracy=(low, high),
            num_continuations=arguments.continuations,
            output=arguments.output,
            resume=arguments.resume,
        )
        from rl.importance.text import importance_text

        print(importance_text(folder))
        print(f"\nlines and page: {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
