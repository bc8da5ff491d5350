"""List the runs below a folder: what has become of each, how far it is, and what to type to go on.

FOLDER may hold runs at any depth, those of ablations too. Nothing is changed. Checkpoints are compared with
their manifests by size; --verify reads them whole, at about a gigabyte per second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.arguments import Arguments
from scripts.exits import user_errors

if TYPE_CHECKING:
    from rl.runs.state import RunState

_HEAD = ("run", "state", "progress", "accuracy", "changed", "checkpoint")


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, print the table."""
    parser = Arguments("runs", about=f"{__doc__}", example="stride runs runs")
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, nargs="?", default=Path("runs"), help="default runs"
    )
    parser.add_argument("--verify", action="store_true", help="read every checkpoint and compare its hashes")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.runs.state import find_runs, read_state

        folders = find_runs(arguments.folder)
        if not folders:
            print(f"no run in {arguments.folder}")
            return 0
        states = [read_state(folder, verify=arguments.verify) for folder in folders]
        print(table(states, now=time.time()))
        for line in remarks(states):
            print(line)
    return 0


def table(states: Sequence[RunState], *, now: float) -> str:
    """A line for each run, under a head."""
    from rl.pages.text import text_table

    return text_table(_HEAD, [_cells(state, now) for state in states], num_left=3)


def remarks(states: Sequence[RunState]) -> list[str]:
    """Who runs a run, what is damaged, and the command that goes on, run by run."""
    lines: list[str] = []
    for state in states:
        about = [f"in use by {state.holder}"] * bool(state.holder)
        about += [f"damaged: {fault}" for fault in state.faults]
        about += [f"{state.command}    # {state.next}"] * bool(state.command)
        if about:
            lines += ["", f"{state.folder}:", *(f"  {text}" for text in about)]
    return lines


def _cells(state: RunState, now: float) -> tuple[str, ...]:
    from rl.stats.format import duration, percent

    progress = f"{state.stage.label} {state.update:,}/{state.updates:,}" if state.stage else "-"
    accuracy = f"{percent(state.accuracy)} {state.split}" if state.accuracy is not None else "-"
    checkpoint = f"{state.checkpoint.parent.name}/{state.checkpoint.name}" if state.checkpoint else "-"
    ago = f"{duration(max(0.0, now - state.changed))} ago"
    return (str(state.folder), state.condition.value, progress, accuracy, ago, checkpoint)


if __name__ == "__main__":
    raise SystemExit(main())
