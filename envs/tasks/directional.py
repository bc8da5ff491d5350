"""Directional reasoning: follow a list of turns from a starting heading.

A problem and its full trace::

    You face north. Actions: left, right, around
    Answer:
    west. right, around
    north. around
    south
    Thus, the answer is south.

Steps: each line states the new heading and the remaining actions. A line does the first 1 to `max_merge` of the
remaining actions.

`remaining`: one line for each action.

Buckets: a bucket is a number of actions ("5").

Hand-skip rules (`skip_kinds`):
    cancel_pair: The first adjacent pair of actions that cancel out is done in one line.
    any_pair: One adjacent pair, drawn at random, is done in one line.

Wrong turns of detours (`error_kinds`); `<backtrack>` takes each back, and the correct line follows:
    turn: A wrong heading.
    lost_action: The next action is left out of the list.
    again: The line is correct. It is taken back and written again.

Mistakes (`mistake_kinds`); later turns start from the wrong heading:
    turn: A wrong heading.
    lost_action: An action is left out of the list, and never done.

Source: the directional-reasoning data of "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855, released
files). Task, traces, `cancel_pair` and the default buckets follow it; `any_pair`, the detours and the mistakes
are ours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import field_validator

from envs.base import Demonstration, check_error_kinds
from envs.generated import Draw
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem
from envs.released.directional import DirectionalWording
from envs.released.env import ReleasedEnv, ReleasedSettings
from envs.requests import ask_for_answer
from envs.trace import BACKTRACK

HEADINGS = ("north", "east", "south", "west")
TURNS = {"left": 3, "right": 1, "around": 2}  # quarter turns clockwise
ACTIONS = tuple(TURNS)
MAX_ACTIONS = 1000
_FACE, _DO = "You face ", ". Actions: "
# Items per number of actions in the released training set. Few short problems are distinct, so few occur.
_RELEASED = (9, 22, 60, 166, 322, 294, 295, 307, 285, 320)


class DirectionalSettings(ReleasedSettings):
    """Settings of `directional`; buckets are numbers of actions, the defaults those of the released data."""

    train: dict[str, float] = {str(k): float(n) for k, n in enumerate(_RELEASED, 1)}
    ood_easy: dict[str, float] = {str(k): 1.0 for k in range(11, 21)}
    ood_hard: dict[str, float] = {str(k): 1.0 for k in range(21, 31)}

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _counts(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            if not (bucket.isascii() and bucket.isdigit() and 1 <= int(bucket) <= MAX_ACTIONS):
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is a number of actions from 1 to {MAX_ACTIONS}, "
                    "such as '5'"
                )
        return value


@dataclass(frozen=True, slots=True)
class DirectionalState:
    """The heading (quarter turns clockwise from north) and the remaining actions."""

    heading: int
    actions: tuple[str, ...]


class Directional(ReleasedEnv[DirectionalState]):
    """Turn left, right or around; the answer is the final heading."""

    name = "directional"
    Settings = DirectionalSettings
    wording = DirectionalWording()
    skip_kinds = ("cancel_pair", "any_pair")
    error_kinds = ("turn", "lost_action", "again")
    mistake_kinds = ("turn", "lost_action")
    instruction = "Which way do you face at the end?"
    format_request = (
        'After each action, write one line with the new heading and the remaining actions, such as "west. '
        'right, around"; the last line is the heading alone. '
        f"{ask_for_answer('the final heading')}"
    )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw a heading and `bucket` actions, all uniformly."""
        heading, count = int(rng.random() * 4), int(bucket)
        return _draw(heading, rng.choices(ACTIONS, k=count))

    def pose(self, question: str) -> Draw:
        """See `ReleasedEnv`."""
        heading, do, listed = question.removeprefix(_FACE).partition(_DO)
        actions = listed.split(", ")
        if not question.startswith(_FACE) or heading not in HEADINGS or not do or not {*actions} <= {*ACTIONS}:
            raise ValueError(
                f"{question[:80]!r} is no heading ({', '.join(HEADINGS)}) and a list of actions "
                f"({', '.join(ACTIONS)})"
            )
        if len(actions) > MAX_ACTIONS:
            raise ValueError(f"{len(actions):,} actions, at most {MAX_ACTIONS:,}")
        return _draw(HEADINGS.index(heading), actions)

    def bucket(self, problem: Problem) -> str:
        """The number of actions in the question."""
        return str(len(self.start(problem).actions))

    def start(self, problem: Problem) -> DirectionalState:
        """The heading and all actions of the question."""
        heading, _, actions = problem.question.removeprefix(_FACE).partition(_DO)
        return DirectionalState(HEADINGS.index(heading), tuple(actions.split(", ")))

    def write_full(self, problem: Problem) -> tuple[str, ...]:
        """One line per action."""
        return _write(self.start(problem), skip=None)

    def write_skipped(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """Do one adjacent pair in one line: the full trace without the line of the pair's first action.

        Returns None if the rule applies to no pair.
        """
        state = self.start(problem)
        pairs = [
            i
            for i, (a, b) in enumerate(zip(state.actions, state.actions[1:], strict=False))
            if kind == "any_pair" or (TURNS[a] + TURNS[b]) % 4 == 0
        ]
        if not pairs:
            return None
        return _write(state, skip=pairs[0] if kind == "cancel_pair" else rng.choice(pairs))

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one detour for each of `errors`, each before a different line.

        Returns None if there are more errors than lines that can have them; the last one has no action to lose.
        """
        check_error_kinds(errors, self.error_kinds)
        lines = self.full_trace(problem)
        places: dict[int, str] = {}
        for error in sorted(errors, key=lambda error: error != "lost_action"):  # which fits fewer lines
            free = [i for i in range(len(lines) - (error == "lost_action")) if i not in places]
            if not free:
                return None
            places[rng.choice(free)] = error
        written: list[str] = []
        wrong: set[int] = set()
        for i, line in enumerate(lines):
            if i in places:
                if places[i] != "again":
                    wrong.add(len(written))
                written += [_turn_wrong(line, places[i], rng), BACKTRACK]
            written.append(line)
        return Demonstration(lines=tuple(written), wrong=frozenset(wrong))

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """One line per action, one of them wrong; None if there is no second action that could be lost."""
        state = self.start(problem)
        num_places = len(state.actions) - (kind == "lost_action")
        if not num_places:
            return None
        at = rng.randrange(num_places)
        heading = (state.heading + sum([TURNS[action] for action in state.actions[: at + 1]])) % 4
        left = state.actions[at + 1 :]
        if kind == "turn":
            heading = (heading + rng.randint(1, 3)) % 4
        else:
            left = left[1:]
        rest = _write(DirectionalState(heading, left), skip=None)
        lines = (*_write(state, skip=None)[:at], _line(heading, left), *rest)
        final = (heading + sum([TURNS[action] for action in left])) % 4
        return Demonstration(lines=lines, wrong=frozenset([at]), answer=HEADINGS[final])

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration:
        """One line for each action that is left."""
        state = self.start(problem)
        for line in lines:
            state = self.advance(state, line)
        return Demonstration(lines=_write(state, skip=None))

    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        """Do the first 1 to `max_merge` actions; the line must state the new heading and the rest."""
        heading, dot, rest = line.partition(". ")
        left = tuple(rest.split(", ")) if dot else ()
        done = len(state.actions) - len(left)
        if heading not in HEADINGS:
            raise StepError("not a heading and a list of actions")
        if done < 1 or state.actions[done:] != left:
            raise StepError("the remaining actions are not the end of the previous list")
        if done > self.settings.max_merge:
            raise StepError(f"{done} actions in one line, at most {self.settings.max_merge}")
        turned = (state.heading + sum(TURNS[action] for action in state.actions[:done])) % 4
        if HEADINGS[turned] != heading:
            raise StepError(f"heading should be {HEADINGS[turned]}")
        return DirectionalState(turned, left)

    def finished(self, state: DirectionalState) -> bool:
        """Whether no action is left."""
        return not state.actions

    def remaining(self, state: DirectionalState) -> int:
        """One line for each action that is left."""
        return len(state.actions)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if the heading is the same, ignoring case as the released evaluation does."""
        heading = answer.lower() if answer.isascii() else ""
        if heading not in HEADINGS:
            return Grade.MALFORMED
        return Grade.CORRECT if heading == problem.answer else Grade.WRONG


def _draw(heading: int, actions: Sequence[str]) -> Draw:
    final = (heading + sum([TURNS[action] for action in actions])) % 4
    return Draw(
        question=f"{_FACE}{HEADINGS[heading]}{_DO}{', '.join(actions)}",
        answer=HEADINGS[final],
        num_full_steps=len(actions),
        difficulty=len(actions),
    )


def _write(state: DirectionalState, skip: int | None) -> tuple[str, ...]:
    """One line per action, but none for action number `skip`, which the next line does too."""
    lines: list[str] = []
    heading, actions = state.heading, state.actions
    for i, action in enumerate(actions):
        heading = (heading + TURNS[action]) % 4
        if i != skip:
            lines.append(_line(heading, actions[i + 1 :]))
    return tuple(lines)


def _turn_wrong(line: str, error: str, rng: random.Random) -> str:
    """The line as a detour of this kind writes it."""
    heading, dot, left = line.partition(". ")
    if error == "turn":
        heading = rng.choice([other for other in HEADINGS if other != heading])
    elif error == "lost_action":
        _, comma, left = left.partition(", ")
        dot = dot if comma else ""
    return f"{heading}{dot}{left}"


def _line(heading: int, left: Sequence[str]) -> str:
    return f"{HEADINGS[heading]}. {', '.join(left)}" if left else HEADINGS[heading]
