"""One-dimensional ARC: find the rule that made the examples and apply it to one more row.

A problem, and a trace with one detour::

    1: 0012201 > 0122010
    2: 3000330 > 0003300
    3: 4044004 > 0440040
    test: 0500055
    Answer:
    rule: wrap left 1
    1: 0012201 > 0122010, as given
    2: 3000330 > 0003303, given 0003300
    <backtrack> 0
    rule: move left 1
    1: 0012201 > 0122010, as given
    2: 3000330 > 0003300, as given
    3: 4044004 > 0440040, as given
    test: 0500055 > 5000550
    Thus, the answer is 5000550.

The full trace is the same without the second to fourth line and without "wrap left 1".

Steps: a line proposes one rule by its name; the next lines apply it to the examples in order, and then to the
test row. After an example that does not come out as given, the only way on is a backtrack to before the
proposal. ``see input 2: 3000330`` and ``see output 2: 0003300`` restate a row of an example. These lines are
valid anywhere and change nothing; padded traces use them. They are about as long as the average line of a
detour.

`remaining`: the proposal of the right rule, a line for each example and one for the test row, less those that
are written; infinite once a wrong rule is proposed.

Exactly one of the rules in the settings explains the examples of a problem, so the answer is unique. Two rules
that are equal at a width (wrapping by 3 to the left or to the right at width 6) cannot be told apart, so
neither is drawn at that width.

Buckets: a bucket is "LOW-HIGH", a range of widths ("10-20"), drawn uniformly. All rows of a problem have one
width.

Wrong turns (`error_kinds`):
    rule: A rule that fails on an example. The rules of a trace are distinct; those that change the input of the
        first example are used first.

Source: the 1D-ARC task (arXiv 2305.18354) that "How Much Backtracking is Enough?" (arXiv 2505.24273) takes from
reasoning-gym: rows of 10 to 30 pixels and three examples. As in its traces with k backtracks, k wrong rules are
applied to the examples and found not to match before the right one. Differences: the rules are ours
(`rules.py`). The published rules draw rows that fit them; here rows of the same kind are used with every rule,
which changes each of them and leaves none empty.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import cycle, islice

from pydantic import Field, field_validator

from envs.base import Demonstration, check_error_kinds, spread
from envs.generated import Draw, GeneratedEnv
from envs.grading import Grade
from envs.problem import Problem
from envs.ranges import RangeSettings, draw_from_range
from envs.requests import ask_for_answer
from envs.tasks.arc_1d.rules import RULES
from envs.tasks.arc_1d.steps import (
    MAX_WIDTH,
    ArcState,
    Puzzle,
    advance,
    draw_puzzle,
    notes,
    read_question,
    remaining,
    try_out,
    write_question,
)
from envs.trace import BACKTRACK

MIN_WIDTH = 5
_BUCKET = re.compile(r"([1-9][0-9]?)-([1-9][0-9]?)")
_ANSWER = re.compile(rf"[0-9]{{1,{MAX_WIDTH}}}")
_GO_BACK = f"{BACKTRACK} 0"
_MAX_TRIES = 2000
_TRIES_PER_RULE = 10


class Arc1DSettings(RangeSettings):
    """Settings of `arc_1d`; buckets are ranges of widths, the defaults together the published range.

    Attributes:
        max_merge: Fixed at 1, since each line does one thing.
        num_examples: Number of rows whose output is given.
        num_colours: Rows have the colours 1 to `num_colours`; rules may paint other colours.
        rules: Names of the rules, in the order in which a search tries them; see `RULES`.
        max_search_lines: Largest number of lines in a search trace, including backtracks. Problems whose search
            takes more have no search trace.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    train: dict[str, float] = {"10-20": 1.0}
    ood_easy: dict[str, float] = {"21-25": 1.0}
    ood_hard: dict[str, float] = {"26-30": 1.0}
    num_examples: int = Field(default=3, ge=1, le=9)
    num_colours: int = Field(default=9, ge=2, le=9)
    rules: tuple[str, ...] = tuple(RULES)
    max_search_lines: int = Field(default=150, ge=2, le=10_000)

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _widths(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            match = _BUCKET.fullmatch(bucket)
            if match is None or not MIN_WIDTH <= int(match[1]) <= int(match[2]) <= MAX_WIDTH:
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is a range of widths from {MIN_WIDTH} to "
                    f"{MAX_WIDTH}, "
                    "such as '10-20'"
                )
        return value

    @field_validator("rules")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for rule in value:
            if rule not in RULES:
                close = get_close_matches(rule, RULES, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else "."
                raise ValueError(f"unknown rule '{rule}'{hint} known: {', '.join(RULES)}")
        if len(value) < 2 or len(set(value)) < len(value):
            raise ValueError(f"got the rules {list(value)}; name at least two, none of them twice")
        return value


class Arc1D(GeneratedEnv[ArcState]):
    """Find the rule that explains the examples, and apply it."""

    name = "arc_1d"
    Settings = Arc1DSettings
    settings: Arc1DSettings
    error_kinds = ("rule",)
    instruction = "One rule turns the left row of each example into the right one. Apply it to the test row."
    format_request = (
        'Propose a rule by its name, such as "rule: move left 1", and apply it to each example, one line each, '
        'such as "1: 0012201 > 0122010, as given", then to the test row, such as "test: 0500055 > 5000550". '
        f"{ask_for_answer('the last row')}"
    )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw a width, a rule, and rows that no other rule explains.

        The rule is drawn uniformly. Another one is drawn if no rows are found for it, as can happen at small
        widths.
        """
        _, width = draw_from_range(bucket, rng)
        settings = self.settings
        for attempt in range(_MAX_TRIES):
            if attempt % _TRIES_PER_RULE == 0:
                rule = settings.rules[int(rng.random() * len(settings.rules))]
            puzzle = draw_puzzle(rule, settings.rules, width, settings.num_examples, settings.num_colours, rng)
            if puzzle is not None:
                break
        else:
            raise ValueError(
                f"found no problem of width {width} in {_MAX_TRIES} tries that only one of the "
                f"{len(settings.rules)} rules explains; raise the widths, num_examples or num_colours, or name "
                "fewer rules"
            )
        return Draw(
            question=write_question(puzzle),
            answer=puzzle.answer,
            num_full_steps=settings.num_examples + 2,
            difficulty=width,
        )

    def bucket(self, problem: Problem) -> str:
        """The bucket of the width of its rows; see `RangeSettings.bucket_of`."""
        return self.settings.bucket_of("", len(self._puzzle(problem).test))

    def start(self, problem: Problem) -> ArcState:
        """The puzzle, with no rule proposed yet."""
        return ArcState(self._puzzle(problem))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The right rule, applied to each example and to the test row."""
        puzzle = self._puzzle(problem)
        return tuple(try_out(puzzle, self._right_rule(puzzle)))

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace after one wrong rule for each error, each applied up to its first mismatch.

        None if there are fewer wrong rules than errors.

        Raises:
            ValueError: An error kind is unknown.
        """
        check_error_kinds(errors, self.error_kinds)
        puzzle = self._puzzle(problem)
        wrong_rules = [rule for rule in self.settings.rules if puzzle.mismatch(rule) is not None]
        if len(errors) > len(wrong_rules):
            return None
        row = puzzle.examples[0][0]
        active = [rule for rule in wrong_rules if RULES[rule](row) != row]
        idle = [rule for rule in wrong_rules if RULES[rule](row) == row]
        num_active = min(len(errors), len(active))
        turns = rng.sample(active, num_active) + rng.sample(idle, len(errors) - num_active)
        lines, starts = _try_in_turn(puzzle, [*turns, self._right_rule(puzzle)])
        return Demonstration(lines=lines, wrong=frozenset(starts[:-1]))

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The full trace with `see` lines spread evenly before, between and after its lines.

        They restate the rows in the order of the question, cyclically from a random one.
        """
        steps = self.full_trace(problem)
        num_notes = num_lines - len(steps)
        if num_notes < 0:
            return None
        known = notes(self._puzzle(problem))
        at = rng.randrange(len(known))
        restated = cycle(known[at:] + known[:at])
        lines: list[str] = []
        for place, count in enumerate(spread(num_notes, len(steps) + 1, rng)):
            lines += islice(restated, count)
            lines += steps[place : place + 1]
        return Demonstration(lines=tuple(lines))

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The rules tried in order until one explains the examples; None if that takes too many lines."""
        puzzle = self._puzzle(problem)
        turns = list(self.settings.rules)
        lines, _ = _try_in_turn(puzzle, turns[: turns.index(self._right_rule(puzzle)) + 1])
        return Demonstration(lines=lines) if len(lines) <= self.settings.max_search_lines else None

    def advance(self, state: ArcState, line: str) -> ArcState:
        """Take one line; see `steps.py`."""
        return advance(state, line, self.settings.rules)

    def finished(self, state: ArcState) -> bool:
        """Whether the test row is written and equals the answer."""
        return state.made == state.puzzle.answer

    def remaining(self, state: ArcState) -> float:
        """The lines of the right rule that are left; infinite if another one is proposed."""
        return remaining(state)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is the output row in digits; any text other than digits is malformed."""
        if answer == problem.answer:
            return Grade.CORRECT
        return Grade.WRONG if _ANSWER.fullmatch(answer) else Grade.MALFORMED

    def _puzzle(self, problem: Problem) -> Puzzle:
        return read_question(problem.question, problem.answer)

    def _right_rule(self, puzzle: Puzzle) -> str:
        return next(rule for rule in self.settings.rules if puzzle.mismatch(rule) is None)


def _try_in_turn(puzzle: Puzzle, rules: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """The lines that try the rules in order, with backtracks in between, and the positions of the proposals."""
    lines: list[str] = []
    starts: list[int] = []
    for rule in rules:
        if lines:
            lines.append(_GO_BACK)
        starts.append(len(lines))
        lines += try_out(puzzle, rule)
    return tuple(lines), starts
