"""One-dimensional ARC: find the rule that made the examples and apply it to one more row.

The task of "How Much Backtracking is Enough?" (arXiv 2505.24273) that it takes from reasoning-gym, after 1D-ARC
(arXiv 2305.18354): rows of 10 to 30 pixels and three examples. Its traces with k backtracks apply k wrong rules
to the examples, find that they do not match, and then apply the right one. So do ours::

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

A rule is proposed by its name, one at a time, and applied to the examples in order. After the first that does
not come out as given, nothing leads on but going back to before the proposal. Lines ``see input 2: 3000330``
and ``see output 2: 0003300`` restate a row of an example, are valid anywhere and change nothing: padded traces
are made longer with them. They are about as long as the lines of a detour are on average.

The rules are in `arc_1d_rules.py`. The published ones draw rows that fit them; here rows of one kind go with
every rule, which changes each of them and leaves no row empty. Exactly one of the rules in the settings
explains the examples of a problem, so its answer is the only one. Two rules that are the same at a width (to
wrap by 3 to the left or to the right at width 6) cannot be told apart, so neither is drawn there.

A bucket is "LOW-HIGH", the range of widths, each alike. All rows of a problem have one width.

Wrong turns (`error_kinds`):
    rule: a rule that fails on an example, no two alike; rules that change the first example come first.
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
from envs.tasks.arc_1d.rules import RULES
from envs.tasks.arc_1d.steps import (
    MAX_WIDTH,
    ArcState,
    Puzzle,
    advance,
    draw_puzzle,
    notes,
    read_question,
    solvable,
    try_out,
    write_question,
)
from envs.trace import BACKTRACK

MIN_WIDTH = 5
_BUCKET = re.compile(r"([1-9][0-9]?)-([1-9][0-9]?)")
_ANSWER = re.compile(rf"[0-9]{{1,{MAX_WIDTH}}}")
_GO_BACK = f"{BACKTRACK} 0"
_MAX_TRIES = 2000
_TRIES_A_RULE = 10


class Arc1DSettings(RangeSettings):
    """Ranges of widths per split; the defaults together are the published range.

    Attributes:
        num_examples: Rows whose output is given.
        num_colours: The colours of the rows are 1 to this; rules may paint others.
        rules: Which rules there are, in the order a search tries them; see `RULES`.
        max_search_lines: Longest search trace, backtracks counted; a search that takes more gives none.
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
                    f"a bucket is a range of widths from {MIN_WIDTH} to {MAX_WIDTH}, such as '10-20', "
                    f"got {bucket!r}"
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
            raise ValueError(f"rules must be two or more different ones, got {list(value)}")
        return value


class Arc1D(GeneratedEnv[ArcState]):
    """Find the rule of the examples and apply it."""

    name = "arc_1d"
    Settings = Arc1DSettings
    settings: Arc1DSettings
    error_kinds = ("rule",)

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw a width, one of the rules and rows that no other rule explains.

        The rules are drawn alike, and another is taken where no rows come out, as may be on short ones.
        """
        _, width = draw_from_range(bucket, rng)
        settings = self.settings
        for attempt in range(_MAX_TRIES):
            if attempt % _TRIES_A_RULE == 0:
                rule = settings.rules[int(rng.random() * len(settings.rules))]
            puzzle = draw_puzzle(rule, settings.rules, width, settings.num_examples, settings.num_colours, rng)
            if puzzle is not None:
                break
        else:
            raise ValueError(
                f"no problem of width {width} found in {_MAX_TRIES} tries that only one of the "
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
        """The bucket of the settings with the width of the test row; for others one of its own."""
        return self.settings.bucket_of("", len(self._puzzle(problem).test))

    def start(self, problem: Problem) -> ArcState:
        """No rule proposed."""
        return ArcState(self._puzzle(problem))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The right rule, applied to each example and to the test row."""
        puzzle = self._puzzle(problem)
        return tuple(try_out(puzzle, self._right_rule(puzzle)))

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace after one wrong rule for each error, each applied up to its first mismatch.

        There may be as many as there are other rules.
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
        """The full trace with `see` lines in between, before and after, spread evenly.

        They restate the rows in the question's order, over and over, from one drawn at random.
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
        """The rules one after another until one explains the examples; None where that takes too many lines."""
        puzzle = self._puzzle(problem)
        turns = list(self.settings.rules)
        lines, _ = _try_in_turn(puzzle, turns[: turns.index(self._right_rule(puzzle)) + 1])
        return Demonstration(lines=lines) if len(lines) <= self.settings.max_search_lines else None

    def advance(self, state: ArcState, line: str) -> ArcState:
        """One line of the grammar above; see `arc_1d_steps.py`."""
        return advance(state, line, self.settings.rules)

    def finished(self, state: ArcState) -> bool:
        """The test row is done, and came out as the answer."""
        return state.made == state.puzzle.answer

    def solvable(self, state: ArcState) -> bool:
        """Whether the proposed rule is the right one; every rule can still be proposed where none is."""
        return solvable(state)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """The output row as the question writes rows; other texts than digits in a row are malformed."""
        if answer == problem.answer:
            return Grade.CORRECT
        return Grade.WRONG if _ANSWER.fullmatch(answer) else Grade.MALFORMED

    def _puzzle(self, problem: Problem) -> Puzzle:
        return read_question(problem.question, problem.answer)

    def _right_rule(self, puzzle: Puzzle) -> str:
        return next(rule for rule in self.settings.rules if puzzle.mismatch(rule) is None)


def _try_in_turn(puzzle: Puzzle, rules: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """The lines that try rules out, a backtrack between them, and the positions of the proposals."""
    lines: list[str] = []
    starts: list[int] = []
    for rule in rules:
        if lines:
            lines.append(_GO_BACK)
        starts.append(len(lines))
        lines += try_out(puzzle, rule)
    return tuple(lines), starts
