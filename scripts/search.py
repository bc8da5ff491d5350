"""Solve problems by search with a trained model: Self-Backtracking (arXiv 2502.04404), or verified states.

From a problem N completions are sampled. Those that go back are rolled back to the state that `<backtrack>`
restores, from which N more are sampled, for a number of rounds; of the completions with an answer, the
likeliest is chosen. Beside that stand greedy decoding and, each with the tokens that the search took on the
same problem, best-of-N by log-probability, a majority vote and the task's own systematic search.

MODEL is the folder of a run or of a model, a hub id, or `config` for the config's own policy. CONFIG may be
left out for a model of a run. The section `search` says how to search, `eval.splits` and `eval.num_problems`
which problems; completions are sampled in this process or on Ray actors as `rollout.backend` says. Each batch
of problems is written when it is done, so a search that was stopped goes on with --resume.
"""

from __future__ import annotations

from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.find_model import add_model, find_model, parse_with_model


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, search, print the figures."""
    parser = Arguments(
        "search", about=f"{__doc__}", example="stride search runs/countdown search.breadth=[8,32]"
    )
    add_model(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="new folder of the search; default: a free one in runs/"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the search in --output")
    arguments = parse_with_model(parser, argv)
    if arguments.resume and arguments.output is None:
        parser.error("--resume needs the folder to go on with: --output FOLDER")
    with user_errors():
        model, config = find_model("search", arguments.model, arguments.config, arguments.overrides)
        from rl.search.run import search_with_model

        folder = search_with_model(model, config, output=arguments.output, resume=arguments.resume)
        from rl.search.text import search_text

        print(search_text(folder))
        print(f"\ncompletions, tables and page: {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
