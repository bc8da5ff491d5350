"""What the warm start learns from: demonstrations, and the parts of them that get no loss.

In: an environment and the config's `warm_start` section. Out: one `Example` for each problem, which `encode.py`
turns into token ids with labels. The mix of full and hand-skipped traces follows "Can Language Models Learn to
Skip Steps?" (arXiv 2411.01855, section 3); `skipped_frac: 0` is its cold start. Traces with detours follow
Self-Backtracking (arXiv 2502.04404): the wrong step gets no loss, so the model reads it without imitating it,
and the backtrack after it is learnt. Their length-matched controls answer the objection that backtracks only
make traces longer. Thought dropout follows TON (arXiv 2505.16854): some traces are their closing
line alone. Lines numbered from a random first number on are after the index hints of Zhou et al. (arXiv
2310.16028).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count, islice
from typing import Any

from configs.schema.config import WarmStartConfig
from envs import Demonstration, Env, Problem, Split
from envs.base import NoSolutionError
from envs.seeding import derive_random
from envs.trace import BACKTRACK

_RENUMBERED_FRAC = 0.7  # of the demonstrations, with `number_lines_to`
_NUMBERED = re.compile(r"[0-9]+(?=\. )")


class TraceKind(StrEnum):
    """Kinds of demonstrations, as messages name them."""

    FULL = "full"
    SKIPPED = "with a step skipped"
    DETOUR = "with detours"
    STOPPED = "up to a backtrack"
    CONTROL = "length-matched controls"
    SEARCH = "of a search"
    FOUND = "found by search"
    EMPTY = "without a step (thought dropout)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A problem and its demonstration.

    Attributes:
        problem: The problem, with its budget if the prompt states one.
        text: The reference completion.
        ignored: Start and end offsets of the parts of `text` that get no loss.
        drawn: The kind of trace that was drawn.
        written: The kind that was written: `FULL` where the problem has no room for the kind drawn.
    """

    problem: Problem
    text: str
    ignored: tuple[tuple[int, int], ...] = ()
    drawn: TraceKind
    written: TraceKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One phase of the warm start.

    Attributes:
        examples: The demonstrations.
        updates: Optimiser updates it lasts.
    """

    examples: Sequence[Example]
    updates: int


def make_phases(
    env: Env[Any], curriculum: Sequence[Env[Any]], config: WarmStartConfig, *, seed: int
) -> list[Phase]:
    """The phases of the curriculum, then one on `env` for the other updates.

    A phase has no more problems than its updates reach.

    Args:
        env: The task.
        curriculum: The task of each phase in `config.curriculum`, with that phase's settings.
        config: The `warm_start` section.
        seed: Seed of the mix.
    """
    updates = [phase.updates for phase in config.curriculum]
    updates.append(config.updates - sum(updates))
    phases = []
    for learnt, num_updates in zip((*curriculum, env), updates, strict=True):
        if not num_updates:
            continue
        num_problems = min(config.num_problems, num_updates * config.batch_size)
        examples = make_examples(learnt, config, num_problems=num_problems, seed=seed)
        phases.append(Phase(examples=examples, updates=num_updates))
    return phases


def make_examples(env: Env[Any], config: WarmStartConfig, *, num_problems: int, seed: int) -> list[Example]:
    """The mix: one example for each of the first `num_problems` problems of train that have a solution.

    The kind of each trace is drawn with the config's probabilities: full, with a step skipped, with detours (or
    its length-matched control), or of a search. If the environment cannot write that kind for a problem, the
    problem gets its full trace. Thought dropout then takes all steps from some; with it or without, the
    others are the same.

    Raises:
        ValueError: The environment cannot write a kind that the config names, or its data holds no solution.
    """
    _check(env, config)
    examples = []
    for problem, full in islice(with_solutions(env), num_problems):
        index = problem.index
        rng = derive_random(seed, "warm_start", index)
        part = env.part_of(problem)
        drawn, demonstration = _draw(env, config, problem, rng)
        written = drawn if demonstration is not None else TraceKind.FULL
        demonstration = demonstration or Demonstration(lines=full)
        if derive_random(seed, "thought_dropout", index).random() < config.thought_dropout:
            drawn = written = TraceKind.EMPTY
            demonstration = Demonstration(lines=())
        numbered = None
        if config.number_lines_to is not None:
            numbers = derive_random(seed, "line_numbers", index)
            numbered = _renumber(demonstration.lines, config.number_lines_to, numbers)
            demonstration = replace(demonstration, lines=numbered or demonstration.lines)
        if rng.random() < config.budget_frac:
            problem = env.with_budget(problem, part.count_steps(demonstration.lines))
        text = (
            "\n".join(demonstration.lines)
            if written is TraceKind.STOPPED
            else part.demonstrate(demonstration.lines, demonstration.answer or problem.answer)
        )
        ignored = spans(demonstration.lines, text, demonstration.wrong) if config.mask_wrong_steps else ()
        if numbered:
            ((start, _),) = spans(numbered, text, {0})
            ignored = ((start, start + len(_number(numbered[0]))), *ignored)
        examples.append(Example(problem=problem, text=text, ignored=ignored, drawn=drawn, written=written))
    return examples


def with_solutions(env: Env[Any]) -> Iterator[tuple[Problem, tuple[str, ...]]]:
    """The train problems that have a worked solution, without end, with their full traces.

    Raises:
        NoSolutionError: None of them has one.
    """
    size = env.num_problems(Split.TRAIN)
    last_found = -1
    for index in count():
        problem = env.problem(Split.TRAIN, index)
        try:
            full = env.full_trace(problem)
        except NoSolutionError:
            others = env.has_solutions and not env.part_of(problem).has_solutions  # other parts of a mixture
            if not others and (size is None or index - last_found >= 2 * size):
                raise
        else:
            last_found = index
            yield problem, full


def _check(env: Env[Any], config: WarmStartConfig) -> None:
    """Refuse kinds that the environment cannot write, all in one message.

    Without worked solutions no other mistake matters, so the error of `full_trace` comes first.
    """
    next(with_solutions(env))
    mistakes = []
    for key, kinds, known in (
        ("skip_kinds", config.skip_kinds, env.skip_kinds),
        ("error_mix", list(config.error_mix), env.error_kinds),
    ):
        if unknown := sorted(set(kinds) - set(known)):
            names = ", ".join(known) or "none"
            mistakes.append(f"warm_start.{key} has {unknown}, which '{env.name}' does not know; known: {names}")
    writes_search = env.defines("search_trace")
    can_pad = env.defines("padded_trace")
    control_frac = config.detour_frac * config.detour_control
    for key, share, can, reason, value in (
        ("skipped_frac", config.skipped_frac, bool(env.skip_kinds), "has no rule to skip a step by", "0"),
        ("detour_frac", config.detour_frac, bool(env.error_kinds), "writes no detours", "0"),
        ("search_frac", config.search_frac, writes_search, "writes no search traces", "0"),
        ("detour_control", control_frac, can_pad, "has no lines to make a trace longer with", "false"),
    ):
        if share > 0 and not can:
            mistakes.append(f"warm_start.{key} is {share:g}, but '{env.name}' {reason}; set it to {value}")
    if config.number_lines_to is not None and not all(map(_number, next(with_solutions(env))[1])):
        mistakes.append(
            f"warm_start.number_lines_to is {config.number_lines_to}, but lines of '{env.name}' begin with no "
            "number; set it to null"
        )
    if mistakes:
        raise ValueError("; ".join(mistakes))


def describe_mix(examples: Sequence[Example]) -> str:
    """One line with the number of traces of each kind, and of those that could not be written."""
    written = Counter(example.written for example in examples)
    parts = [f"{written[kind]:,} {kind}" for kind in TraceKind if written[kind]]
    text = f"{len(examples):,} traces: {', '.join(parts)}"
    for kind in TraceKind:
        drawn = [example for example in examples if example.drawn is kind]
        if lacking := sum(example.written is not kind for example in drawn):
            text += f"; {lacking:,} of {len(drawn):,} {kind} did not fit their problem and are full ones"
    return text


def _draw(
    env: Env[Any], config: WarmStartConfig, problem: Problem, rng: random.Random
) -> tuple[TraceKind, Demonstration | None]:
    """The kind of trace drawn, and its demonstration; None for a full trace or where the problem has none."""
    part = env.part_of(problem)
    number = rng.random()
    if number < config.skipped_frac:
        kinds = [kind for kind in config.skip_kinds or part.skip_kinds[:1] if kind in part.skip_kinds]
        lines = env.skipped_trace(problem, rng.choice(kinds), rng) if kinds else None
        return TraceKind.SKIPPED, None if lines is None else Demonstration(lines=lines)
    number -= config.skipped_frac
    if number < config.detour_frac:
        mix = config.error_mix or dict.fromkeys(part.error_kinds, 1.0)
        mix = {kind: weight for kind, weight in mix.items() if kind in part.error_kinds}
        if not mix:
            return TraceKind.CONTROL if config.detour_control else TraceKind.DETOUR, None
        errors = rng.choices(list(mix), list(mix.values()), k=rng.choice(config.num_detours))
        demonstration = env.detour_trace(problem, errors, rng)
        if not config.detour_control:
            if demonstration is not None and config.stop_at_backtrack:
                return TraceKind.STOPPED, _stopped(demonstration)
            return TraceKind.STOPPED if config.stop_at_backtrack else TraceKind.DETOUR, demonstration
        padded = demonstration and env.padded_trace(problem, len(demonstration.lines), rng)
        return TraceKind.CONTROL, padded
    number -= config.detour_frac
    if number < config.search_frac:
        return TraceKind.SEARCH, env.search_trace(problem, rng)
    return TraceKind.FULL, None


def _renumber(lines: Sequence[str], largest: int, rng: random.Random) -> tuple[str, ...] | None:
    """Numbered lines with other numbers, the last at most `largest`; None for those that stay as they are.

    The first number is then drawn uniformly, 1 included.
    """
    if not lines or not all(map(_number, lines)) or len(lines) > largest or rng.random() >= _RENUMBERED_FRAC:
        return None
    first = rng.randint(1, largest - len(lines) + 1)
    return tuple(f"{number}{line[len(_number(line)) :]}" for number, line in enumerate(lines, first))


def _number(line: str) -> str:
    """The number that a line begins with ("3. ..."); "" without any."""
    found = _NUMBERED.match(line)
    return found[0] if found else ""


def _stopped(detour: Demonstration) -> Demonstration:
    """A demonstration with detours up to the first line that a backtrack is for, and a bare `<backtrack>`.

    That is its first wrong line or, where no line is wrong, the one before its first backtrack.
    """
    backtrack = next(place for place, line in enumerate(detour.lines) if line.startswith(BACKTRACK))
    last = min([*detour.wrong, backtrack - 1])
    return Demonstration(lines=(*detour.lines[: last + 1], BACKTRACK), wrong=detour.wrong & {last})


def spans(lines: Sequence[str], text: str, chosen: Collection[int]) -> tuple[tuple[int, int], ...]:
    """Start and end offsets of some lines in a text that has them all, in order.

    Args:
        lines: The lines.
        text: The text.
        chosen: Places of those that are wanted.
    """
    found, end = [], 0
    for position, line in enumerate(lines):
        start = text.index(line, end)
        end = start + len(line)
        if position in chosen:
            found.append((start, end))
    return tuple(found)
