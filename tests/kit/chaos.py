"""Runs that are killed, starved and damaged on purpose: the figures of docs/reliability.md.

Each file `chaos_PART.py` beside this one is a part: its `run(scale)` yields the lines of a table. The suite
runs a small share of each part, `make test-chaos` all of it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.kit.finding import Finding, print_table

PARTS = tuple(sorted(path.stem.removeprefix("chaos_") for path in Path(__file__).parent.glob("chaos_*.py")))


def run(parts: Sequence[str], scale: float) -> Iterator[Finding]:
    """The lines of some parts, one after the other; one for a part that breaks off."""
    for part in parts:
        try:
            yield from importlib.import_module(f"tests.kit.chaos_{part}").run(scale)
        except Exception as error:
            traceback.print_exc()
            yield Finding(test=part, size=0, figures="broke off", failures=(repr(error),))


def main() -> int:
    """Run the named parts, or all, and print a table in Markdown; returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size; default: %(default)g")
    arguments = parser.parse_args()
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"unknown part '{unknown[0]}'; known: {', '.join(PARTS)}")
    if not 0 < arguments.scale <= 1:
        parser.error(f"--scale is {arguments.scale:g}; give a number above 0, at most 1")
    return 0 if print_table(run(arguments.parts or PARTS, arguments.scale)) else 1


if __name__ == "__main__":
    sys.exit(main())
