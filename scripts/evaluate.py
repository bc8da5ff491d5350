"""Evaluate a model on the splits of a config.

python scripts/evaluate.py MODEL CONFIG [key=value ...] [--json FILE]

MODEL is a folder this project or transformers wrote (a PEFT adapter is put on the config's policy.model), a hub
id, or `config` for the config's own policy as it is before training.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, evaluate, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder, hub id, or `config`")
    parser.add_argument("config", help="YAML file whose env, policy, rollout and eval sections are used")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="config keys, dotted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too; must not exist")
    arguments = parser.parse_intermixed_args(argv)
    with user_errors():
        from configs import load_config

        config = load_config(arguments.config, arguments.overrides)
        from rl.pages.text import result_table
        from rl.standalone import evaluate_model

        results = evaluate_model(arguments.model, config, out_file=arguments.json)
        print(result_table({"stages": {"model": results}}))
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
