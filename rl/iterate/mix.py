"""What a round learns from: full traces, hand-skipped ones in round 0, and kept answers after it.

In: the train problems, and the answers to what was asked. Out: `Example`s for `rl/sft`. Source: "Can Language
Models Learn to Skip Steps?" (arXiv 2411.01855, section 3) and its released scripts: a mix is the kept answers
and *all* full traces; hand-skipped traces are in round 0 alone. The conditioned model reads the number of steps
of each trace in the prompt, the standard model does not; else both learn the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from configs import Config
from configs.schema.iterate import IterateConfig
from envs import Env, Problem, Split
from envs.seeding import derive_random
from rl.iterate.record import AnswerRow
from rl.sft.examples import Example, TraceKind, with_solutions
from rollout.encoder import Encoder
from rollout.read_trace import read_trace


class NothingKeptError(RuntimeError):
    """A round has nothing to learn from."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Mix:
    """The demonstrations of a round.

    Attributes:
        examples: All of them, with the number of steps in the prompt.
        num_full: Full traces.
        num_skipped: Skipped ones.
    """

    examples: tuple[Example, ...]
    num_full: int
    num_skipped: int

    def without_budgets(self, env: Env[Any]) -> list[Example]:
        """The same demonstrations with prompts that state no number of steps."""
        return [replace(one, problem=env.with_budget(one.problem, None)) for one in self.examples]


def train_problems(env: Env[Any], config: Config) -> list[Problem]:
    """The train problems of a loop: the first `warm_start.num_problems` with a worked solution, each once.

    Raises:
        NoSolutionError: None of them has one.
    """
    assert config.warm_start is not None
    num, size = config.warm_start.num_problems, env.num_problems(Split.TRAIN)
    found = []
    for problem, _ in islice(with_solutions(env), num):
        if size is not None and problem.index >= size:
            break
        found.append(problem)
    return found


def initial_mix(env: Env[Any], config: Config, problems: Sequence[Problem]) -> Mix:
    """Round 0: the full traces and, with a warm initialisation, a hand-skipped trace for each that has one."""
    assert config.iterate is not None and config.warm_start is not None
    examples = full_examples(env, problems)
    skipped: list[Example] = []
    for problem in problems if config.iterate.init == "warm" else ():
        part = env.part_of(problem)
        wanted = config.warm_start.skip_kinds or part.skip_kinds[:1]
        kinds = [kind for kind in wanted if kind in part.skip_kinds]
        rng = derive_random(config.seed, "iterate", "hand-skipped", problem.index)
        lines = env.skipped_trace(problem, rng.choice(kinds), rng) if kinds else None
        if lines is not None:
            skipped.append(_example(env, problem, lines, problem.answer, TraceKind.SKIPPED))
    return Mix(examples=(*examples, *skipped), num_full=len(examples), num_skipped=len(skipped))


def round_mix(
    env: Env[Any],
    config: Config,
    problems: Sequence[Problem],
    answers: Sequence[AnswerRow],
    encoder: Encoder,
    *,
    number: int,
) -> Mix:
    """The mix of a round after the initialisation.

    Args:
        env: The task.
        config: Its `iterate.mix` and `seed` are used.
        problems: The train problems.
        answers: The answers to what was asked on them for this round.
        encoder: Reads their texts.
        number: The round.

    Raises:
        NothingKeptError: Nothing was kept, and the mix has nothing else.
    """
    assert config.iterate is not None
    by_index = {problem.index: problem for problem in problems}
    kept = [kept_example(env, by_index[row.index], row, encoder) for row in answers if row.kept]
    full = full_examples(env, problems)
    if not kept and config.iterate.mix != "new":
        raise NothingKeptError(
            f"round {number} kept none of the {len(answers):,} answers, so with iterate.mix "
            f"{config.iterate.mix} there is nothing to learn; start with iterate.init=warm, train longer "
            "(warm_start.updates), or set iterate.mix to new"
        )
    if config.iterate.mix == "skipped_only":
        full = []
    elif config.iterate.mix == "equal":
        rng, num = derive_random(config.seed, "iterate", "equal", number), min(len(kept), len(full))
        kept, full = rng.sample(kept, num), rng.sample(full, num)
    return Mix(examples=(*full, *kept), num_full=len(full), num_skipped=len(kept))


def is_kept(row: AnswerRow, loop: IterateConfig) -> bool:
    """Whether an answer to a request on train is learnt from."""
    follows = row.correct and row.consistent and row.steps < row.full_steps
    return follows and (loop.keep == "right" or bool(row.verified))


def full_examples(env: Env[Any], problems: Sequence[Problem]) -> list[Example]:
    """The full trace of each problem, with its number of steps in the prompt."""
    return [
        _example(env, problem, env.full_trace(problem), problem.answer, TraceKind.FULL) for problem in problems
    ]


def kept_example(env: Env[Any], problem: Problem, row: AnswerRow, encoder: Encoder) -> Example:
    """A kept answer as a demonstration: its lines and the answer it states, in the form the task teaches."""
    part = env.part_of(problem)
    trace = read_trace(part, encoder, row.text, truncated=False)
    assert trace.answer is not None
    lines = tuple([step.text for step in trace.steps])
    example = _example(env, problem, lines, trace.answer, TraceKind.SKIPPED)
    return replace(example, problem=env.with_budget(problem, row.asked))


def _example(env: Env[Any], problem: Problem, lines: Sequence[str], answer: str, kind: TraceKind) -> Example:
    part = env.part_of(problem)
    return Example(
        problem=env.with_budget(problem, part.count_steps(lines)),
        text=part.demonstrate(lines, answer),
        drawn=kind,
        written=kind,
    )
