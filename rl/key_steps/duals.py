"""Dual traces: a right and a wrong trace of the same problem (EDIT, arXiv 2405.19737).

In: an environment that writes its solution with a mistake, and groups of the policy's samples. Out: one `Dual`
a problem at most. EDIT asks a teacher to corrupt right traces and to rectify wrong ones; here the environment
does both:

* corrupted: its own solution, and the same with a mistake that nothing takes back (`Env.mistaken_trace`);
* sampled: of a problem's samples, a right one and a wrong one, the pair with the smallest edit distance;
* rectified: where no sample is right, the lines of a wrong one before its first fault, and the environment's
  solution from there (`Env.solution_from`).

Right samples pass the task's check: verified or, where steps are not checked, with a right answer. Wrong ones
state a wrong answer. A right answer with an invalid step is neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Any

from configs.schema.key_steps import KeyStepsConfig
from envs import Env, Grade, GraderError, Problem, Split, Status, StepError, StepKind
from envs.base import NoSolutionError
from envs.faults import counterpart, first_fault
from envs.own import draw_problem
from envs.seeding import derive_random
from rl.key_steps.edit_distance import edit_distance
from rl.key_steps.responses import Response, read_response, write_response
from rollout.encoder import Encoder
from rollout.types import RolloutGroup


class Source(StrEnum):
    """Where a pair is from, as messages name it."""

    CORRUPTED = "corrupted by the environment"
    SAMPLED = "sampled"
    RECTIFIED = "sampled and rectified"


class Lack(StrEnum):
    """Why a problem has no pair, as messages name it."""

    MISTAKE = "no mistake fits them"
    WRONG = "no sample is wrong"
    RIGHT = "no sample is right"
    SOLUTION = "no sample is right, and none could be rectified"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dual:
    """A pair of traces.

    Attributes:
        problem: The problem.
        right: The right trace.
        wrong: The wrong one.
        source: Where it is from.
        key_lines: The true key steps, as places of lines: in the right trace, the line that does right from
            where the wrong one was still right; in the wrong trace, the first line after which it cannot be
            right. None where steps are not checked.
    """

    problem: Problem
    right: Response
    wrong: Response
    source: Source
    key_lines: tuple[int, int] | None = None


@dataclass(kw_only=True)
class Duals:
    """The pairs of some problems, and why the others have none."""

    pairs: list[Dual] = field(default_factory=list)
    lacking: Counter[Lack] = field(default_factory=Counter)

    def describe(self) -> str:
        """One line with the number of pairs by source, and of problems without one."""
        counts = Counter(pair.source for pair in self.pairs)
        text = f"{len(self.pairs):,} dual traces"
        if parts := [f"{counts[source]:,} {source}" for source in Source if counts[source]]:
            text += f": {', '.join(parts)}"
        reasons = [f"{why} ({self.lacking[why]:,})" for why in Lack if self.lacking[why]]
        if reasons:
            text += f"; {self.lacking.total():,} problems have none: {', '.join(reasons)}"
        return text


def split_problems(indices: Iterable[int], config: KeyStepsConfig, *, seed: int) -> tuple[list[int], list[int]]:
    """The problems whose pair the environment writes, and those for which the policy is sampled."""
    written: list[int] = []
    sampled: list[int] = []
    for index in indices:
        share = derive_random(seed, "key_steps", "source", index).random()
        (written if share < config.environment_frac else sampled).append(index)
    return written, sampled


def make_duals(
    env: Env[Any],
    encoder: Encoder,
    config: KeyStepsConfig,
    written: Iterable[int],
    groups: Iterable[RolloutGroup],
    *,
    seed: int,
) -> Duals:
    """The pairs that the environment writes, then those made of samples.

    Args:
        env: The task.
        encoder: The policy's.
        config: The `key_steps` section.
        written: Train problems whose pair the environment writes, by index.
        groups: Samples of the other problems.
        seed: Of the mistakes.
    """
    found = Duals()
    for index in written:
        _add(found, corrupted(env, encoder, draw_problem(env, Split.TRAIN, index), config.mistakes, seed=seed))
    for group in groups:
        _add(found, of_samples(env, encoder, group, rectify=config.rectify))
    return found


def _add(found: Duals, one: Dual | Lack) -> None:
    if isinstance(one, Lack):
        found.lacking[one] += 1
    else:
        found.pairs.append(one)


def corrupted(
    env: Env[Any], encoder: Encoder, problem: Problem, mistakes: Mapping[str, float], *, seed: int
) -> Dual | Lack:
    """The environment's solution, and the same with a mistake.

    Args:
        env: The task.
        encoder: The policy's.
        problem: The problem.
        mistakes: Weights of the kinds of mistakes; empty: all, uniformly.
        seed: Of the draw.
    """
    part = env.part_of(problem)
    rng = derive_random(seed, "key_steps", "mistake", problem.index)
    weights = mistakes or dict.fromkeys(part.mistake_kinds, 1.0)
    left = {kind: weight for kind, weight in weights.items() if weight > 0 and kind in part.mistake_kinds}
    try:
        full = env.full_trace(problem)
    except NoSolutionError:
        return Lack.MISTAKE
    while left:
        (kind,) = rng.choices(list(left), list(left.values()))
        mistaken = env.mistaken_trace(problem, kind, rng)
        if mistaken is not None and mistaken.answer is not None:
            right = write_response(env, encoder, problem, full, problem.answer)
            wrong = write_response(env, encoder, problem, mistaken.lines, mistaken.answer)
            return _dual(env, problem, right, wrong, Source.CORRUPTED)
        del left[kind]
    return Lack.MISTAKE


def of_samples(env: Env[Any], encoder: Encoder, group: RolloutGroup, *, rectify: bool = True) -> Dual | Lack:
    """The nearest pair of a problem's samples, or a wrong one with its rectified trace.

    Args:
        env: The task.
        encoder: The policy's.
        group: The samples.
        rectify: Whether a wrong sample may be rectified.
    """
    problem = group.problem
    samples = list({sample.text: sample for sample in group.samples}.values())
    complete = [sample for sample in samples if sample.trace.status is Status.COMPLETE]
    right = [read_response(encoder, sample) for sample in complete if sample.trace.passed]
    wrong = [read_response(encoder, sample) for sample in complete if sample.trace.grade is Grade.WRONG]
    if not wrong:
        return Lack.WRONG
    source = Source.SAMPLED
    pairs = list(product(right, wrong))
    if not right:
        if not rectify or not env.part_of(problem).checks_steps:
            return Lack.RIGHT
        source = Source.RECTIFIED
        rectified = [(_rectified(env, encoder, problem, one), one) for one in wrong]
        pairs = [(made, one) for made, one in rectified if made is not None]
        if not pairs:
            return Lack.SOLUTION
    nearest = min(pairs, key=lambda pair: edit_distance(pair[0].ids, pair[1].ids))
    return _dual(env, problem, *nearest, source)


def _rectified(env: Env[Any], encoder: Encoder, problem: Problem, wrong: Response) -> Response | None:
    """The lines before the first fault, and the environment's solution from there; None where it knows none."""
    fault = first_fault(env, problem, wrong.trace)
    assert fault is not None
    begun = wrong.trace.steps[:fault]
    standing = [step.text for step in begun if step.kind is StepKind.FORWARD and not step.undone]
    try:
        rest = env.solution_from(problem, standing)
        if rest is None:
            return None
        lines = [*[step.text for step in begun], *rest.lines]
        made = write_response(env, encoder, problem, lines, rest.answer or problem.answer)
    except (NoSolutionError, StepError, GraderError):
        return None
    return made if made.trace.passed else None


def _dual(env: Env[Any], problem: Problem, right: Response, wrong: Response, source: Source) -> Dual:
    key_lines = None
    if right.trace.steps_checked and wrong.trace.steps_checked:
        ours = counterpart(env, problem, right.trace, wrong.trace)
        theirs = first_fault(env, problem, wrong.trace)
        assert ours is not None and theirs is not None
        key_lines = ours, theirs
    return Dual(problem=problem, right=right, wrong=wrong, source=source, key_lines=key_lines)


def usable(env: Env[Any], num_problems: int) -> Iterator[int]:
    """The first train problems by index, each once."""
    size = env.num_problems(Split.TRAIN)
    yield from range(num_problems if size is None else min(size, num_problems))
