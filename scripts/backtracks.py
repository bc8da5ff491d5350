"""Measure whether a model goes back when it must, and only then.

Problems are begun twice for each kind of wrong turn that the task writes (`error_kinds`): up to the end of the
wrong turn, and with the right line in its place. The model continues both. The table has how often its next
line is a backtrack, and how often the answer passes in the end. Where a warm start goes back equally often
after both, credit cannot keep the needed backtracks and remove the others: look here before GRPO.

MODEL is the folder of a run or of a model, a hub id, or `config` for the config's own policy. CONFIG may be
left out for a model of a run. Of it, the sections env, policy, prompt, rollout and eval are used; samples are
drawn with `eval.temperature`, `eval.top_p` and `eval.top_k`. Nothing is stored on the way: a measurement that
is stopped starts over.
"""

from __future__ import annotations

import csv
from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.find_model import add_model, find_model, parse_with_model


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, measure, print the table."""
    parser = Arguments(
        "backtracks",
        about=f"{__doc__}",
        example="stride backtracks runs/needed_backtracks/models/warm --problems 300",
    )
    add_model(parser)
    parser.add_argument("--split", default="id", choices=["train", "id", "ood_easy", "ood_hard"])
    parser.add_argument("--problems", type=int, default=100, metavar="N", help="problems (default 100)")
    parser.add_argument(
        "--samples", type=int, default=8, metavar="M", help="continuations of each beginning (default 8)"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there too")
    arguments = parse_with_model(parser, argv)
    for name in ("problems", "samples"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} is {getattr(arguments, name)}; give 1 or more")
    if arguments.csv is not None and arguments.csv.exists():
        parser.error(f"--csv {arguments.csv} already exists; give another file")
    if arguments.csv is not None and not arguments.csv.parent.is_dir():
        parser.error(f"--csv {arguments.csv} is in a folder that does not exist; create it first")
    with user_errors():
        model, config = find_model("backtracks", arguments.model, arguments.config, arguments.overrides)
        from rl.backtracks.run import measure_backtracks

        rows = measure_backtracks(
            model,
            config,
            split=arguments.split,
            num_problems=arguments.problems,
            num_samples=arguments.samples,
        )
        from rl.backtracks.text import backtracks_table, backtracks_text

        print(backtracks_text(rows))
        if arguments.csv is not None:
            with arguments.csv.open("w", newline="") as file:
                csv.writer(file).writerows(backtracks_table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
