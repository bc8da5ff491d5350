"""The console command `stride`: finds the command's file and passes the other arguments to it.

Only the chosen command's file is imported, so that help appears at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

from scripts.arguments import closest
from scripts.closed_pipes import closed_pipes

COMMANDS = {
    "train": "run a config: warm start, GRPO, evaluation, report",
    "iterate": "loops: step skipping (ask, keep, mix, retrain), expert iteration",
    "evaluate": "evaluate a model on the splits of a config",
    "search": "solve problems by search, beside best-of-N and majority vote",
    "needless": "measure how well published rules guess which steps were needless",
    "backtracks": "measure whether a model goes back when it must, and only then",
    "importance": "measure which steps of a model's traces decide its answers",
    "runs": "list runs: what has become of each, and what to type to go on",
    "ablate": "run the cases and seeds of an ablation, and compare them",
    "report": "write the report of a run again, or compare runs",
    "rollouts": "browse every completion of a run in a browser",
    "chat": "ask a trained model; every step of its answer is checked",
    "submit": "run a config as a job on a Ray cluster",
    "push": "upload the model of a run to the Hugging Face hub",
    "prompt": "show the exact prompts of a config before a run",
    "memory": "state the memory of a run, and whether it fits",
    "data": "look at data, propose skipped solutions, write problems as files",
    "check": "check that environments keep their contract",
    "bench": "race Stride against transformers, vLLM and TRL",
}
_WIDTH = max(map(len, COMMANDS)) + 2
HELP = "\n".join(
    [
        "usage: stride COMMAND ...   or   stride --version",
        "Post-train language models to reach verified answers in fewer reasoning steps.",
        *[f"  {name:{_WIDTH}}{about}" for name, about in COMMANDS.items()],
        "",
        "  stride train quickstart      a run, from a shipped config (two CPU cores)",
        "  stride COMMAND --help        the arguments of a command, with an example",
    ]
)


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments:
        print(HELP, file=sys.stderr)
        return 2
    with closed_pipes():
        return _run(*arguments)


def _run(command: str, *rest: str) -> int:
    if command in ("-h", "--help", "help"):
        print(HELP)
        return 0
    if command == "--version":
        print(f"stride {version('stride-rl')}")
        return 0
    if command not in COMMANDS:
        hint = closest(command, list(COMMANDS))
        print(f"error: unknown command '{command}'{hint} known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    code: int = import_module(f"scripts.{command}").main([*rest])
    return code


if __name__ == "__main__":
    raise SystemExit(main())
