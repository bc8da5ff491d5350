"""The lines of `arc_1d`, their effect on a state, and the drawing of puzzles.

In: a state and a line a model wrote. Out: the state after it, or a `StepError`. Bounded regular expressions
match lines in linear time. Rules are applied only to rows of the question, never to a row that a model wrote.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from envs.path import StepError
from envs.tasks.arc_1d.rules import EMPTY, RULES

MAX_WIDTH = 60
PROPOSE, SEE, TEST = "rule: ", "see ", "test: "
_ROW = rf"[0-9]{{1,{MAX_WIDTH}}}"
_EXAMPLE = re.compile(rf"([1-9]): {_ROW} > {_ROW}, (?:as given|given {_ROW})")
_LENGTHS = (1, 1, 1, 2, 2, 2, 3, 3, 4, 5)  # of blocks
_GAPS = (1, 1, 1, 2, 2, 3)
_MAX_ROWS = 50  # rows drawn for each row needed
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Puzzle:
    """The rows of a question, and its answer.

    Example: `Puzzle((("0120", "1200"), ("3003", "3300")), "0400", "4000")`.

    Attributes:
        examples: Pairs of input and output.
        test: The test input.
        answer: The output of the test input.
    """

    examples: tuple[tuple[str, str], ...]
    test: str
    answer: str

    def mismatch(self, rule: str) -> int | None:
        """Position of the first example on which a rule fails; None if it explains all of them."""
        apply = RULES[rule]
        return next((i for i, (row, given) in enumerate(self.examples) if apply(row) != given), None)


@dataclass(frozen=True, slots=True)
class ArcState:
    """The progress of the proposed rule.

    Attributes:
        puzzle: The puzzle.
        rule: The proposed rule, or None.
        num_compared: Number of examples it has been applied to.
        failed: Whether the result for the last of them differs from the given output.
        made: The result for the test row, or None before it is written.
    """

    puzzle: Puzzle
    rule: str | None = None
    num_compared: int = 0
    failed: bool = False
    made: str | None = None


# ---- texts ----


def write_question(puzzle: Puzzle) -> str:
    """The examples and the test row, one line each."""
    given = [f"{i}: {row} > {made}" for i, (row, made) in enumerate(puzzle.examples, 1)]
    return "\n".join([*given, TEST + puzzle.test])


def read_question(question: str, answer: str) -> Puzzle:
    """The puzzle of a question written by `write_question`."""
    *given, test = question.split("\n")
    pairs = [line.partition(": ")[2].split(" > ") for line in given]
    return Puzzle(tuple((row, made) for row, made in pairs), test.removeprefix(TEST), answer)


def try_out(puzzle: Puzzle, rule: str) -> list[str]:
    """The lines that propose a rule and apply it, up to the first mismatch or to the test row."""
    lines = [PROPOSE + rule]
    at = puzzle.mismatch(rule)
    num_lines = len(puzzle.examples) if at is None else at + 1
    lines += [_example_line(puzzle, rule, i) for i in range(num_lines)]
    return [*lines, _test_line(puzzle, rule)] if at is None else lines


def note(puzzle: Puzzle, side: str, number: int) -> str:
    """A line that restates the "input" or the "output" of an example and changes nothing."""
    return f"{SEE}{side} {number}: {puzzle.examples[number - 1][side == 'output']}"


def notes(puzzle: Puzzle) -> list[str]:
    """All lines that restate a row."""
    numbers = range(1, len(puzzle.examples) + 1)
    return [note(puzzle, side, number) for number in numbers for side in ("input", "output")]


def _example_line(puzzle: Puzzle, rule: str, at: int) -> str:
    row, given = puzzle.examples[at]
    made = RULES[rule](row)
    return f"{at + 1}: {row} > {made}, {'as given' if made == given else f'given {given}'}"


def _test_line(puzzle: Puzzle, rule: str) -> str:
    return f"{TEST}{puzzle.test} > {RULES[rule](puzzle.test)}"


# ---- steps ----


def advance(state: ArcState, line: str, rules: Sequence[str]) -> ArcState:
    """Propose a rule, apply it to the next example or to the test row, or restate a row.

    Args:
        state: The current state.
        line: The line a model wrote.
        rules: The rules that may be proposed.

    Raises:
        StepError: The line is not a valid step from this state.
    """
    if line.startswith(SEE):
        if line not in notes(state.puzzle):
            raise StepError("not a row of an example")
        return state
    if line.startswith(PROPOSE):
        if state.rule is not None:
            raise StepError("a rule is already proposed")
        rule = line.removeprefix(PROPOSE)
        if rule not in rules:
            raise StepError("not one of the rules")
        return replace(state, rule=rule)
    example = _EXAMPLE.fullmatch(line)
    if example is None and not line.startswith(TEST):
        raise StepError("not a rule, an example or the test")
    if state.rule is None:
        raise StepError("no rule is proposed")
    if state.failed:
        raise StepError("the rule has failed; go back to the start and propose another")
    if example is None:
        return _apply_to_test(state, state.rule, line)
    at = state.num_compared
    if at == len(state.puzzle.examples):
        raise StepError("all examples are already compared")
    if int(example[1]) != at + 1:
        raise StepError(f"the next example is {at + 1}")
    if line != (expected := _example_line(state.puzzle, state.rule, at)):
        raise StepError(f"the line should be '{expected}'")
    return replace(state, num_compared=at + 1, failed=not line.endswith("as given"))


def _apply_to_test(state: ArcState, rule: str, line: str) -> ArcState:
    if state.num_compared < len(state.puzzle.examples):
        raise StepError(f"the next example is {state.num_compared + 1}")
    if state.made is not None:
        raise StepError("the test row is already done")
    if line != (expected := _test_line(state.puzzle, rule)):
        raise StepError(f"the line should be '{expected}'")
    return replace(state, made=RULES[rule](state.puzzle.test))


def remaining(state: ArcState) -> float:
    """The lines left to write; infinite if the proposed rule fails on an example or gives another answer."""
    puzzle, rule = state.puzzle, state.rule
    left = len(puzzle.examples) - state.num_compared + 1
    if rule is None:
        return left + 1
    if puzzle.mismatch(rule) is not None or RULES[rule](puzzle.test) != puzzle.answer:
        return math.inf
    return left if state.made is None else 0


# ---- drawing ----


def draw_puzzle(
    rule: str, others: Iterable[str], width: int, num_examples: int, num_colours: int, rng: random.Random
) -> Puzzle | None:
    """Draw distinct rows that a rule changes to rows that are not empty, until there are enough.

    Returns:
        The puzzle, or None if another rule explains its examples too, or if too few such rows are found.
    """
    apply = RULES[rule]
    pairs: dict[str, str] = {}
    for _ in range(_MAX_ROWS * (num_examples + 1)):
        row = draw_row(width, num_colours, rng)
        made = apply(row)
        if made != row and made.strip(EMPTY):
            pairs[row] = made
            if len(pairs) > num_examples:
                break
    else:
        return None
    *examples, (test, answer) = pairs.items()
    puzzle = Puzzle(tuple(examples), test, answer)
    return puzzle if all(puzzle.mismatch(other) is not None for other in others if other != rule) else None


def draw_row(width: int, num_colours: int, rng: random.Random) -> str:
    """Draw a row of short blocks in up to three colours; it does not depend on the rule.

    Half of the blocks have one colour, a quarter one colour except for a pixel, and a quarter mixed colours.
    """
    palette = [_pick("123456789"[:num_colours], rng) for _ in range(3)]
    row = EMPTY * int(rng.random() * 3)
    while len(row) < width:
        block = [_pick(palette, rng)] * _pick(_LENGTHS, rng)
        kind = rng.random()
        if kind < 0.25:
            block[int(rng.random() * len(block))] = _pick(palette, rng)
        elif kind < 0.5:
            block = [_pick(palette, rng) for _ in block]
        row += "".join(block) + EMPTY * _pick(_GAPS, rng)
    return row[:width]


def _pick(values: Sequence[_Value], rng: random.Random) -> _Value:
    """Like `rng.choice`, but faster; a problem takes hundreds of picks."""
    return values[int(rng.random() * len(values))]
