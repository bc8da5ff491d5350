"""Evaluate a model on the splits of a config.

MODEL is a folder that Stride or transformers wrote (a PEFT adapter is put on the config's policy.model), a hub
id, or `config` for the config's own policy before training. Of CONFIG, the sections env, policy, prompt,
rollout and eval are used. All completions are kept beside the results: browse them with `stride rollouts`,
compare evaluations with `stride report`. With `eval.search: true` the problems are also solved by search, as
the section `search` says (`stride search` does that alone).
"""

from __future__ import annotations

import json
from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, evaluate, print the table."""
    parser = Arguments(
        "evaluate",
        about=f"{__doc__}",
        example="stride evaluate runs/quickstart/models/grpo quickstart eval.num_problems=50",
    )
    parser.add_argument("model", metavar="MODEL", help="model folder, hub id, or `config`")
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of a shipped config")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="config keys, dotted")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="new folder for completions, results and report; default: a free one in runs/",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too; must not exist")
    arguments = parser.parse_intermixed_args(argv)
    with user_errors():
        from configs import load_config

        config = load_config(arguments.config, arguments.overrides)
        from rl.pages.text import result_table
        from rl.runs.log import read_summary
        from rl.runs.record import Stage
        from rl.standalone import evaluate_model

        folder = evaluate_model(arguments.model, config, output=arguments.output, out_file=arguments.json)
        results = read_summary(folder).stages[Stage.BASE]
        print(result_table([("model", results)]))
        if config.eval.search:
            from rl.search.record import stage_folder
            from rl.search.text import search_text

            print(f"\n{search_text(stage_folder(folder, Stage.BASE))}")
        print(f"\ncompletions and report: {folder}")
        if arguments.json is not None:
            plain = {split: result.to_json() for split, result in results.items()}
            arguments.json.write_text(json.dumps(plain, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
