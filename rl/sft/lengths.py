"""Demonstrations against the lengths of a run: the model's context, and the limit that completions are cut at.

In: examples of the warm start, encoded. Out: one line where a share of them is over the limit; an error where
the warm start would teach nothing that can be sampled, or what the model cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from configs import ConfigError
from configs.schema.config import WarmStartConfig
from envs import Env
from rl.sft.examples import make_examples
from rollout.column_positions import ColumnPositions
from rollout.encoder import Encoder
from rollout.positions import LinePositions

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
    remedy: str,
) -> str:
    """A warning where a line of a prompt or demonstration takes all the room that it has, or more.

    Args:
        envs: The task of each phase.
        config: The `warm_start` section.
        encoder: The policy's.
        rule: The rule of its positions.
        seed: Of the mix.
        remedy: How to get a larger stride.
    """
    num = min(_TRIED, config.num_problems)
    texts = [
        torch.tensor([*encoder.encode_prompt(example.problem), *encoder.encode_completion(example.text)])
        for env in envs
        for example in make_examples(env, config, num_problems=num, seed=seed)
    ]
    ids_BT = pad_sequence(texts, batch_first=True)
    mask_BT = pad_sequence([torch.ones_like(ids) for ids in texts], batch_first=True)
    begun = "warning: a line of the demonstrations and their prompts"
    wide = replace(rule, stride=2**20)  # no line outgrows it
    places = int((wide.read(ids_BT, mask_BT) % wide.room * mask_BT).max()) + 1
    if isinstance(rule, ColumnPositions):
        if places <= rule.room:
            return ""
        return (
            f"{begun} takes {places} places, and a line has half of the line stride, {rule.room}: its "
            f"positions run into others; {remedy}"
        )
    if places < rule.room:
        return ""
    return (
        f"{begun} has {places} tokens, and the line stride is {rule.stride}: the positions of such lines have "
        f"no room to jump, and from {rule.stride + 1} tokens on run into those of the next line; {remedy}"
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
