"""Whether a model goes back when it must, and only then: what `stride backtracks` does.

::

    problem --a detour of each kind--> up to the end of the wrong turn ------ continued --> goes back? passes?
                               '-----> with the right line in its place ----- continued --> goes back? passes?

In: a model and a task that writes detours. Out: a row for each kind of wrong turn. What differs between its
columns is what the model sees in the line, and not where in a trace it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from configs import Config, ConfigError
from configs.schema.config import RewardsConfig, RewardTermConfig
from envs import Env, Problem, Split
from rl.backtracks.pairs import KindRow, count_by_kind, wrong_turn_pairs
from rl.parts import build_parts
from rl.runs.forecast import Kind, Work
from rl.runs.progress import Progress
from rl.standalone import NO_TRAINING, sampling_settings, with_model
from rollout.threads import let_threads_sleep

if TYPE_CHECKING:
    from rollout.encoder import Encoder
    from rollout.types import Batch


def measure_backtracks(
    model: str, config: Config, *, split: str, num_problems: int, num_samples: int
) -> list[KindRow]:
    """Continue wrong turns and right lines, and count what begins with a backtrack.

    Args:
        model: Model or adapter folder, hub id, or "config" for the config's own policy.
        config: Its `env`, `policy`, `prompt`, `rollout`, `eval` and `seed` are used.
        split: The split; its first problems are used.
        num_problems: How many; a split that holds fewer is used once.
        num_samples: Continuations of each beginning.

    Returns:
        A row for each kind of wrong turn that the problems have room for.

    Raises:
        ConfigError: The task writes no wrong turns, or has no such split, or the prompts are over the limit.
        PolicyError: The model cannot be found or used.
        GraderError: Graders failed on more completions than allowed.
    """
    config, checkpoint = with_model(model, config)
    right = RewardsConfig(terms=[RewardTermConfig(name="correct", weight=1.0)])
    config = config.model_copy(update={**NO_TRAINING, "rewards": right})
    parts = build_parts(config, find_model=checkpoint is None)
    if Split(split) not in parts.env.splits:
        raise ConfigError(f"--split {split}: the task has {', '.join(parts.env.splits)}")
    num_problems = min(num_problems, parts.env.num_problems(Split(split)) or num_problems)
    pairs = list(wrong_turn_pairs(parts.env, Split(split), num_problems, config.seed))
    if not pairs:
        raise ConfigError(
            f"'{parts.env.name}' writes no wrong turns that a backtrack takes back (Env.detour_trace); give a "
            "task that does"
        )
    sampled = config.eval.model_copy(update={"splits": [split], "num_problems": num_problems})
    config = config.model_copy(update={"eval": sampled})  # whose prompts are measured

    let_threads_sleep()  # everything that needs no torch is checked
    from rl.opening import opened_model
    from rl.prompt_lengths import fits
    from rollout.types import GroupRequest, Sampling
    from rollout.ungraded_limit import UngradedLimit

    with opened_model(config, parts, checkpoint) as (loaded, pool, warnings):
        progress = Progress(sys.stderr)
        for warning in warnings:
            progress.say(warning)
        within = fits(config, loaded.encoder)
        pairs = [pair for pair in pairs if within(pair.problem)]
        if not pairs:
            raise ConfigError(
                f"rollout.max_prompt_tokens is {config.rollout.max_prompt_tokens}, but every prompt of {split} "
                "to which the task writes a wrong turn is longer; raise it"
            )
        requests = [
            GroupRequest(
                group_id=number,  # equal for both, so they have common random numbers (`sample_seed`)
                split=Split(split),
                index=pair.problem.index,
                budget=None,
                num_samples=num_samples,
                seed=config.seed,
                evaluation=True,
                prefix_ids=written(parts.env, pair.problem, lines, loaded.encoder),
            )
            for number, pair in enumerate(pairs)
            for lines in (pair.wrong, pair.right)
        ]
        size = config.rollout.problems_per_batch
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        ungraded, num_done = UngradedLimit(config.rollout.max_ungraded), 0
        work = Work(label="backtracks", kind=Kind.COMPLETION, units=len(requests) * num_samples)
        with progress.showing(work) as task:

            def take(batch: Batch) -> None:
                nonlocal num_done
                for group in batch.groups:
                    ungraded.add(group)
                num_done += num_samples * len(batch.groups)
                task.advance(num_done)

            done = pool.rollout(batches, Sampling(**sampling_settings(config, split)), on_batch=take)
    return count_by_kind(pairs, [group for batch in done for group in batch.groups])


def written(env: Env[Any], problem: Problem, lines: Sequence[str], encoder: Encoder) -> tuple[int, ...]:
    """Ids of what a model has written that has written these lines: no answer yet, and a thought left open.

    The tokens are those of a demonstration, marks of a thought included, up to the newline after the last line.
    """
    from rl.sft.examples import spans

    text = env.part_of(problem).demonstrate(lines, problem.answer)
    ((_, end),) = spans(lines, text, [len(lines) - 1])
    taught = encoder.taught(text)
    begun = f"{taught[: end + encoder.taught_offset(text)]}\n"
    end = len(begun) if taught.startswith(begun) else len(begun) - 1
    tokens = [(token, last) for token, (_, last) in encoder.encode_taught(text) if last <= end]
    rest = begun[max([last for _, last in tokens], default=0) :]  # a token may reach past the newline
    return (*[token for token, _ in tokens], *(encoder.encode(rest) if rest else ()))
