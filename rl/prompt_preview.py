"""The prompts of a run before it starts: what `stride prompt` prints.

In: a config. Out: for one problem of each split, the text and the token ids that the model is given; what the
warm start teaches after it; the tokens that end a completion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs import Config, ConfigError
from envs import Env, Problem, Split
from rl.parts import build_parts
from rl.sft.examples import make_examples
from rollout.encoder import Encoder


def preview_prompts(config: Config, *, index: int) -> str:
    """The prompts of problem `index` of each split that the run uses, as text for the terminal.

    Raises:
        ConfigError, PolicyError: The config or the model cannot be used.
    """
    parts = build_parts(config)

    from rl.build import build_policy  # everything that needs no torch is checked
    from rl.runs.quiet import quiet_libraries

    quiet_libraries()
    encoder = build_policy(config, parts).encoder
    return "\n\n".join(_describe(config, parts.env, encoder, index))


def _describe(config: Config, env: Env[Any], encoder: Encoder, index: int) -> Iterator[str]:
    for split in map(Split, dict.fromkeys(("train", *config.eval.splits))):
        try:
            problem = env.problem(split, index)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        yield _prompt(problem, encoder, config.rollout.max_prompt_tokens)
        if split is Split.TRAIN and config.grpo is not None and config.grpo.budget_frac > 0:
            asked = env.with_budget(problem, problem.num_full_steps)
            yield _prompt(asked, encoder, config.rollout.max_prompt_tokens)
    if config.warm_start is not None:
        *_, example = make_examples(env, config.warm_start, num_problems=index + 1, seed=config.seed)
        taught = encoder.encode_completion(example.text)
        where = f"train {example.problem.index}"
        yield f"--- the warm start teaches, after {where}: {len(taught)} tokens\n{encoder.show(taught)}"
    stops = [f"{encoder.show([token])!r} ({token})" for token in encoder.stop_ids]
    yield f"--- a completion ends with {' or '.join(stops)}"


def _prompt(problem: Problem, encoder: Encoder, limit: int) -> str:
    ids = encoder.encode_prompt(problem)
    budget = "" if problem.budget is None else f" with a budget of {problem.budget}"
    over = "" if len(ids) <= limit else f", over rollout.max_prompt_tokens ({limit})"
    head = f"--- {problem.split} {problem.index}{budget}: {len(ids)} tokens{over}"
    return f"{head}\n{encoder.show(ids)}\n{' '.join(map(str, ids))}"
