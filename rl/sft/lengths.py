"""Demonstrations against the lengths of a run: the model's context, and the limit that completions are cut at.

In: examples of the warm start, encoded. Out: one line where a share of them is over the limit; an error where
the warm start would teach nothing that can be sampled, or what the model cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from configs import ConfigError
from configs.schema.config import WarmStartConfig
from envs import Env
from rl.sft.examples import make_examples
from rollout.column_positions import ColumnPositions
from rollout.encoder import Encoder
from rollout.positions import LinePositions, is_any

_TRIED = 128  # demonstrations of each phase, before anything is trained
_MANY = 0.05  # share of demonstrations over the limit that is worth a line


def check_demonstrations(
    envs: Sequence[Env[Any]],
    config: WarmStartConfig,
    encoder: Encoder,
    *,
    seed: int,
    limit: int,
    context: int | None,
) -> str:
    """Refuse a warm start that teaches completions of which none could be sampled whole.

    Args:
        envs: The task of each phase, that of GRPO last.
        config: The `warm_start` section.
        encoder: The policy's.
        seed: Of the mix.
        limit: `rollout.max_new_tokens`; the stop token counts.
        context: Positions that the model has; None: no limit.

    Returns:
        A line that says how many demonstrations of the last task are over the limit; "" if hardly any are.

    Raises:
        ConfigError: All of them are, or one with its prompt is over the context.
    """
    count = min(_TRIED, config.num_problems)
    lengths: list[int] = []
    for env in envs:
        examples = make_examples(env, config, num_problems=count, seed=seed)
        lengths = [len(encoder.encode_completion(example.text)) for example in examples]
        prompts = [len(encoder.encode_prompt(example.problem)) for example in examples]
        check_context([a + b for a, b in zip(prompts, lengths, strict=True)], context)
    over = sum(length > limit for length in lengths)
    if over <= _MANY * len(lengths):
        return ""
    remedy = f"raise it (the longest has {max(lengths)} tokens) or make env.settings easier"
    if over == len(lengths):
        raise ConfigError(
            f"rollout.max_new_tokens is {limit}, and all of the {over} demonstrations tried are longer, so "
            f"what the warm start teaches would always be cut off; {remedy}"
        )
    return (
        f"warning: rollout.max_new_tokens is {limit}, and {over} of the {len(lengths)} demonstrations tried "
        f"({100 * over / len(lengths):.0f} %) are longer, so what they teach is cut off; {remedy}"
    )


def check_lines(
    envs: Sequence[Env[Any]],
    config: WarmStartConfig,
    encoder: Encoder,
    rule: LinePositions | ColumnPositions,
    *,
    seed: int,
) -> str:
    """A warning where a line of a prompt or demonstration takes all the room that it has, or more.

    Args:
        envs: The task of each phase.
        config: The `warm_start` section.
        encoder: The policy's.
        rule: The rule of its positions.
        seed: Of the mix.
    """
    longest = 0
    for env in envs:
        for example in make_examples(env, config, num_problems=min(_TRIED, config.num_problems), seed=seed):
            ids = (*encoder.encode_prompt(example.problem), *encoder.encode_completion(example.text))
            ends_T = is_any(torch.tensor(ids), rule.newline_ids).long()
            longest = max(longest, *(ends_T.cumsum(0) - ends_T).bincount().tolist())
    if longest < rule.room:
        return ""
    begun = (
        f"warning: a line of the demonstrations and their prompts has {longest} tokens, and the line stride "
    )
    if isinstance(rule, ColumnPositions):
        return (
            f"{begun}is {rule.stride}: from {rule.room} tokens on the positions of a line run into others; "
            "raise policy.tiny.line_stride"
        )
    return (
        f"{begun}is {rule.stride}: the positions of such lines have no room to jump, and from "
        f"{rule.stride + 1} tokens on run into those of the next line; raise policy.tiny.line_stride"
    )


def check_context(lengths: Sequence[int], context: int | None) -> None:
    """Refuse demonstrations that are longer, with their prompt, than the model has positions.

    Raises:
        ConfigError: Names the longest.
    """
    if context is not None and (longest := max(lengths, default=0)) > context:
        raise ConfigError(
            f"a demonstration of the warm start has {longest} tokens with its prompt, which is over the "
            f"model's context of {context} tokens; make env.settings easier"
        )
