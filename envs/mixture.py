"""Several environments in one run, in fixed shares.

::

    env:
      name: mixture
      settings:
        parts:
          - {name: addition, weight: 2}
          - {name: math, settings: {preset: gsm8k, train: gsm8k.jsonl}, label: gsm8k}
          - {name: "my_env:SortBySwaps"}

Problem n of a split belongs to one part, and is problem k of that part, where k counts the part's problems
before n. The parts take turns by stride scheduling (Waldspurger and Weihl 1995): problem k of a part with
weight w is due at time (k + 1/2) / w. So every stretch of problems has the shares of the weights, to within a
problem or so, and a number always stands for the same problem. A part with an end starts over, in its own
order. A split has the parts that have that split.

Each part reads, checks, demonstrates and asks for its own problems (`Env.parts`). The bucket of a problem is
the label of its part, so reports are split by part.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import lcm
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envs.base import Demonstration, Env
from envs.grading import Grade
from envs.one_line import one_line
from envs.path import StepError
from envs.problem import Problem, Split, hash_rows
from envs.registry import find_env, make_env
from envs.trace import Step, Trace


class PartSettings(BaseModel):
    """One part of a mixture.

    Attributes:
        name: The environment, as in `env.name`.
        settings: Its settings, as in `env.settings`.
        weight: Its share of the problems, relative to the other parts.
        label: What reports call it; by default the environment's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    settings: dict[str, Any] = {}
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    label: str | None = Field(default=None, min_length=1)


class MixtureSettings(BaseModel):
    """Settings of `mixture`.

    Attributes:
        parts: The environments, with their settings and weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: Annotated[list[PartSettings], Field(min_length=1)]


class PartError(ValueError):
    """The settings of a part are wrong.

    Attributes:
        where: The part, as in messages.
        error: What is wrong with its settings.
        schema: Their class.
    """

    def __init__(self, where: str, error: ValidationError, schema: type[BaseModel]) -> None:
        """Keep the parts of the message."""
        self.where, self.error, self.schema = where, error, schema
        super().__init__(f"{where}: {one_line(error, most=None)}")


class Mixture(Env[tuple[str, Any]]):
    """Environments in fixed shares. A state is the label of a part and that part's state."""

    name = "mixture"
    Settings = MixtureSettings

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Build the parts.

        Raises:
            pydantic.ValidationError: The list of parts is wrong.
            PartError: The settings of a part are.
            ValueError: A part cannot be built, or two have the same label.
        """
        super().__init__(settings)
        self._parts: dict[str, Env[Any]] = {}
        for number, part in enumerate(self.settings.parts):
            where = f"parts[{number}] ('{part.name}')"
            if part.name == self.name:
                raise ValueError(f"{where}: a part is no mixture; list the parts of both in one")
            try:
                env = make_env(part.name, part.settings)
            except ValidationError as error:
                raise PartError(where, error, find_env(part.name).Settings) from None
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            label = part.label or env.name
            if label in self._parts:
                raise ValueError(f"{where}: another part is called '{label}' too; give each a label of its own")
            self._parts[label] = env
        weights = [Fraction(repr(part.weight)) for part in self.settings.parts]
        unit = lcm(*[weight.denominator for weight in weights])
        shares = {label: int(weight * unit) for label, weight in zip(self._parts, weights, strict=True)}
        self._turns = {
            split: Turns({label: shares[label] for label, env in self._parts.items() if split in env.splits})
            for split in Split
        }
        # What the classes of other environments declare follows from the parts here.
        parts = self._parts.values()
        vars(self).update(
            checks_steps=all(env.checks_steps for env in parts),
            checks_backtracks=all(env.checks_backtracks for env in parts),
            has_solutions=any(env.has_solutions for env in parts),
            skip_kinds=tuple(dict.fromkeys(kind for env in parts for kind in env.skip_kinds)),
            error_kinds=tuple(dict.fromkeys(kind for env in parts for kind in env.error_kinds)),
            mistake_kinds=tuple(dict.fromkeys(kind for env in parts for kind in env.mistake_kinds)),
        )

    @property
    def parts(self) -> Mapping[str, Env[Any]]:
        """The parts by label."""
        return self._parts

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that a part has."""
        return tuple(split for split in Split if self._turns[split].shares)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the parts."""
        return tuple(f"{label}: {note}" for label, env in self._parts.items() for note in env.notes)

    def defines(self, method: str) -> bool:
        """Whether a part does."""
        return any(env.defines(method) for env in self._parts.values())

    def num_problems(self, split: Split) -> int | None:
        """Problems until a part with an end would repeat one; of train, until every part has shown all.

        None if that never happens.
        """
        turns = self._turns[Split(split)]
        sizes = {label: self._parts[label].num_problems(split) for label in turns.shares}
        ends = {label: size for label, size in sizes.items() if size is not None}
        if split is Split.TRAIN:
            whole = len(ends) == len(sizes)
            return max(turns.number(label, size - 1) + 1 for label, size in ends.items()) if whole else None
        return min((turns.number(label, size) for label, size in ends.items()), default=None)

    def fingerprint(self, split: Split) -> str:
        """A hash of the parts' fingerprints and shares."""
        shares = self._turns[Split(split)].shares
        return hash_rows(
            [(label, share, self._parts[label].fingerprint(split)) for label, share in shares.items()]
        )

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address, with the part it is from.

        Raises:
            ValueError: No part has the split.
        """
        split = Split(split)
        if not self._turns[split].shares:
            raise ValueError(f"no part of the mixture has {split}; leave it out of eval.splits")
        label, place = self._turns[split].at(index)
        part = self._parts[label]
        found = part.with_budget(part.problem(split, place), budget)
        return replace(found, env=self.name, index=index, part=label)

    def _own(self, problem: Problem) -> tuple[Env[Any], Problem]:
        """The part of a problem, and the problem as that part made it."""
        part = self._parts[problem.part]
        label, place = self._turns[problem.split].at(problem.index)
        index = place if label == problem.part else problem.index  # a typed question has no place
        return part, replace(problem, env=part.name, index=index, part="")

    def with_budget(self, problem: Problem, budget: int | None) -> Problem:
        """The same problem with a prompt that asks for `budget` steps, in the words of its part."""
        asked = self._parts[problem.part].with_budget(problem, budget)
        return replace(asked, env=self.name, index=problem.index, part=problem.part)

    def bucket(self, problem: Problem) -> str:
        """The label of its part."""
        return problem.part

    # ---- what its part does ----

    def start(self, problem: Problem) -> tuple[str, Any]:
        """The part's label and its start."""
        part, own = self._own(problem)
        return problem.part, part.start(own)

    def advance(self, state: tuple[str, Any], line: str) -> tuple[str, Any]:
        """Take one step of the part.

        Raises:
            StepError: The line is not a valid one of the part.
        """
        label, own = state
        try:
            return label, self._parts[label].advance(own, line)
        except StepError as error:
            if error.after is not None:
                error.after = label, error.after
            raise

    def finished(self, state: tuple[str, Any]) -> bool:
        """Whether the part is finished."""
        return self._parts[state[0]].finished(state[1])

    def remaining(self, state: tuple[str, Any]) -> float | None:
        """The fewest lines in which the part can be finished."""
        return self._parts[state[0]].remaining(state[1])

    def solvable(self, state: tuple[str, Any]) -> bool | None:
        """Whether the part can still be finished."""
        return self._parts[state[0]].solvable(state[1])

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """The part's judgement."""
        part, own = self._own(problem)
        return part.grade_answer(own, answer)

    def check(self, problem: Problem, trace: Trace) -> Trace:
        """The part's judgement of the whole trace."""
        part, own = self._own(problem)
        return part.check(own, trace)

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The part's reference solution."""
        part, own = self._own(problem)
        return part.full_trace(own)

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The part's; None if it does not know this rule."""
        part, own = self._own(problem)
        return part.skipped_trace(own, kind, rng) if kind in part.skip_kinds else None

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The part's; None if it does not know these errors."""
        part, own = self._own(problem)
        return part.detour_trace(own, errors, rng) if {*errors} <= {*part.error_kinds} else None

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The part's."""
        part, own = self._own(problem)
        return part.padded_trace(own, num_lines, rng)

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The part's."""
        part, own = self._own(problem)
        return part.search_trace(own, rng)

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """The part's; None if it does not know this kind."""
        part, own = self._own(problem)
        return part.mistaken_trace(own, kind, rng) if kind in part.mistake_kinds else None

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration | None:
        """The part's."""
        part, own = self._own(problem)
        return part.solution_from(own, lines)

    # ---- what needs the part, not the problem alone: `part_of` has it ----

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        """Refused: how a text is read depends on the problem's part."""
        raise TypeError("a mixture has no grammar of its own; ask part_of(problem)")

    def read_steps(self, text: str) -> tuple[Step, ...]:
        """Refused, as `parse`."""
        raise TypeError("a mixture has no grammar of its own; ask part_of(problem)")

    def count_steps(self, lines: Sequence[str]) -> int:
        """Refused, as `parse`."""
        raise TypeError("a mixture counts no steps of its own; ask part_of(problem)")

    def demonstrate(self, lines: Sequence[str], answer: str) -> str:
        """Refused, as `parse`."""
        raise TypeError("a mixture writes no completions of its own; ask part_of(problem)")

    def render_prompt(self, question: str, budget: int | None = None) -> str:
        """Refused, as `parse`."""
        raise TypeError("a mixture has no prompts of its own; ask part_of(problem)")


class Turns:
    """Whose turn it is, by number: exact integer arithmetic, without counting from the start.

    Attributes:
        shares: The weight of each part, as a whole number.
    """

    def __init__(self, shares: Mapping[str, int]) -> None:
        self.shares = dict(shares)
        self._order = {label: place for place, label in enumerate(self.shares)}

    def number(self, label: str, place: int) -> int:
        """The number of problem `place` of a part: how many are due before it."""
        share, due = self.shares[label], 2 * place + 1  # due at due / (2 share)
        found = 0
        for other, weight in self.shares.items():
            twice = due * weight - share  # problem m of the other is due before if 2 m share < twice
            first = self._order[other] < self._order[label]  # the first of two that are due together
            found += max(0, twice // (2 * share) + 1 if first else -(-twice // (2 * share)))
        return found

    def at(self, number: int) -> tuple[str, int]:
        """The part whose problem has this number, and the problem's place in the part."""
        total, reach = sum(self.shares.values()), len(self.shares) // 2 + 1
        for label, share in self.shares.items():
            near = number * share // total
            for place in range(max(0, near - reach), near + reach + 1):
                if self.number(label, place) == number:
                    return label, place
        raise AssertionError(f"no part has number {number}")
