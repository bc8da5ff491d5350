"""How many sentences that go back the markers see, and how many ordinary ones they mark.

`python -m tests.kit.marker_figures` prints it. The corpus has three parts: `tuned`, for which rules were made;
`held_out`, written before the rules, some of which were then made with it in view; `blind`, written afterwards
without knowledge of the rules, for which none was made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from envs.markers import find_markers

CORPUS = Path(__file__).parents[1] / "data" / "going_back.jsonl"


class Figures(NamedTuple):
    """Sentences of one part of the corpus, and those that are judged wrong."""

    num_back: int
    missed: list[str]
    num_others: int
    marked: list[str]


def figures(part: str, before: str = "") -> Figures:
    """The figures of one part of the corpus, each sentence after the text `before`."""
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    texts = {
        goes_back: [row["text"] for row in rows if (row["half"], row["goes_back"]) == (part, goes_back)]
        for goes_back in (True, False)
    }
    return Figures(
        num_back=len(texts[True]),
        missed=[text for text in texts[True] if not find_markers(before + text)],
        num_others=len(texts[False]),
        marked=[text for text in texts[False] if find_markers(before + text)],
    )


def main() -> None:
    """Print the figures of each part, and every sentence that is judged wrong."""
    for part in ("tuned", "held_out", "blind"):
        found = figures(part)
        seen = found.num_back - len(found.missed)
        marked = f"{len(found.marked)} of {found.num_others} others marked"
        print(f"{part}: {seen} of {found.num_back} seen, {marked}")
        for text in found.missed:
            print(f"  missed: {text}")
        for text in found.marked:
            print(f"  marked: {text}")


if __name__ == "__main__":
    main()
