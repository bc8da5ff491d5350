"""The settings of positions beside the model: what they need of each other, and lines that are too long.

In: a config and its policy. Out: a warning, or a refusal.
"""

from __future__ import annotations

from configs import Config, ConfigError
from envs import Split
from rl.models.policy import Policy
from rl.parts import Parts
from rl.sft.lengths import check_lines
from rollout.column_positions import ColumnPositions
from rollout.line_llama import positions_of, window_of
from rollout.positions import InOrder, LinePositions


def check_positions(config: Config, parts: Parts, policy: Policy) -> str:
    """Refuse what a model at its positions cannot learn or be sampled by.

    Returns:
        A warning about lines that outgrow the stride of line or column positions; "" without any.

    Raises:
        ConfigError: Names the keys and what to change.
    """
    rule, learnt = positions_of(policy.model), config.warm_start
    ordinary = isinstance(rule, InOrder)
    if tiny := config.policy.model == "tiny":
        found = f"policy.tiny.positions is {config.policy.tiny.positions}"
    else:
        found = f"policy.model '{config.policy.model}' has {'no ' if ordinary else ''}line or column positions"
    if not ordinary and config.rollout.engine == "vllm":
        raise ConfigError(
            f"rollout.engine is 'vllm', but {found}, which vLLM does not know; set rollout.engine to 'torch'"
        )
    if window_of(policy.model) is not None and config.policy.attn_implementation == "flash_attention_2":
        raise ConfigError(
            "policy.attn_implementation is 'flash_attention_2', which takes no mask, but the model has a line "
            "window; set policy.attn_implementation to 'sdpa'"
        )
    if isinstance(rule, ColumnPositions):
        prompt = policy.encoder.encode_prompt(parts.env.problem(Split.TRAIN, 0))
        if not set(prompt) & set(rule.newline_ids):
            raise ConfigError(
                f"{found}, which reads the first line of a text whole, but prompts of "
                f"'{parts.env.name}' do not end it; set policy.tiny.positions to rotary"
            )
    if learnt is None:
        return ""
    if not ordinary and learnt.position_range is not None:
        raise ConfigError(
            f"warm_start.position_range is {learnt.position_range}, which needs ordinary positions, but "
            f"{found}; use warm_start.position_jumps instead, or set warm_start.position_range to null"
        )
    if ordinary and learnt.position_jumps is not None:
        raise ConfigError(
            f"warm_start.position_jumps is {learnt.position_jumps}, but {found}; set "
            "policy.tiny.positions to lines or columns with policy.model tiny, or "
            "warm_start.position_jumps to null"
        )
    context = policy.context
    if learnt.position_range is not None and context is not None and learnt.position_range > context:
        key = ", or raise policy.tiny.max_positions" if tiny else ""
        raise ConfigError(
            f"warm_start.position_range is {learnt.position_range}, over the model's context of {context} "
            f"tokens; lower it{key}"
        )
    if not isinstance(rule, LinePositions | ColumnPositions):
        return ""
    return check_lines((*parts.curriculum, parts.env), learnt, policy.encoder, rule, seed=config.seed)
