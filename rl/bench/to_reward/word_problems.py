"""Word problems in the layout of GSM8K, made from templates, for a model small enough to train in minutes.

In: a seed. Out: rows that the task `math` reads with its preset `gsm8k`: a question of a few sentences, the
answer, a worked solution with an equation on each line, and a skipped one with two operations on each. Each
sentence changes a number of things; a model has to find out how, and to calculate. Solutions have as many lines
as those of GSM8K, 2 to 8 with the shares of its train split (Cobbe et al., arXiv 2110.14168), so completions
differ in length as they do there. Numbers stay below 100.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import NamedTuple

_NAMES = ("Ada", "Ben", "Carla", "Dan", "Ella", "Finn", "Greta", "Hugo", "Ines", "Jan", "Kim", "Lara")
_THINGS = ("apples", "books", "cards", "coins", "eggs", "marbles", "pencils", "shells", "stamps", "stones")
_NUM_LINES = {2: 262, 3: 288, 4: 222, 5: 128, 6: 56, 7: 31, 8: 12}  # of a thousand solutions
_LARGEST = 99


class Event(NamedTuple):
    """A change of the number of things.

    Attributes:
        sentence: In the question; slots for a name and a number.
        line: In the solution; its slot takes the equation.
        sign: "+", "-" or "*".
        most: Largest number drawn; the smallest is 2.
    """

    sentence: str
    line: str
    sign: str
    most: int


EVENTS = (
    Event("{name} buys {number} more.", "With those bought it is {}.", "+", 9),
    Event("{name} finds {number} new ones.", "With those found it is {}.", "+", 9),
    Event("A friend adds {number}.", "With the friend's it is {}.", "+", 9),
    Event("{name} gives {number} away.", "Without the gift it is {}.", "-", 9),
    Event("{name} loses {number}.", "Without those lost it is {}.", "-", 9),
    Event("{name} sells {number} of them.", "After the sale it is {}.", "-", 9),
    Event("Then {name} gets {number} times as many.", "So many times it is {}.", "*", 3),
)


def make_word_problem(rng: random.Random) -> dict[str, str]:
    """One row: `question`, `answer` with the full solution before ``####``, as GSM8K has it, and `skipped`.

    Every result is from 1 to 99; an event or a number that leads elsewhere is drawn again.
    """
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    (num_lines,) = rng.choices(list(_NUM_LINES), list(_NUM_LINES.values()))
    now = rng.randint(2, 30)
    sentences, lines, skipped = [f"{name} has {now} {thing}."], list[str](), list[str]()
    first = ""
    while len(lines) < num_lines:
        event = rng.choice(EVENTS)
        number = rng.randint(2, event.most)
        after = {"+": now + number, "-": now - number, "*": now * number}[event.sign]
        if 1 <= after <= _LARGEST:
            sentences.append(event.sentence.format(name=name, number=number))
            lines.append(event.line.format(f"{now} {event.sign} {number} = {after}"))
            if len(lines) % 2:
                first = f"{now} {event.sign} {number}"
            else:
                both = (
                    f"({first}) {event.sign} {number}"
                    if event.sign == "*"
                    else f"{first} {event.sign} {number}"
                )
                skipped.append(event.line.format(f"{both} = {after}"))
            now = after
    skipped += lines[2 * len(skipped) :]
    sentences.append(f"How many {thing} is that?")
    return {
        "question": " ".join(sentences),
        "answer": "\n".join([*lines, f"#### {now}"]),
        "skipped": "\n".join(skipped),
    }


def write_word_problems(path: Path, *, num_problems: int, seed: int = 0) -> None:
    """Write distinct problems as JSON Lines; a file that is there already is kept."""
    if path.exists():
        return
    rng = random.Random(seed)
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < num_problems:
        row = make_word_problem(rng)
        rows[row["question"]] = row
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows.values()))
