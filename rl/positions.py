"""The settings of positions beside the model: what they need of each other and of the task, and lines too long.

In: a config and its policy. Out: warnings, or a refusal.
"""

from __future__ import annotations

from configs import Config, ConfigError
from envs import Split
from rl.models.policy import Policy
from rl.parts import Parts
from rl.sft.lengths import check_lines
from rollout.column_positions import ColumnPositions
from rollout.encoder import Encoder
from rollout.line_llama import positions_of, window_of
from rollout.positions import InOrder, LinePositions


def check_positions(config: Config, parts: Parts, policy: Policy) -> str:
    """Refuse what a model at its positions cannot learn or be sampled by.

    Returns:
        Warnings, a line each, about lines that outgrow the stride of line or column positions, and traces that
        leave their columns; "" without any.

    Raises:
        ConfigError: Names the keys and what to change.
    """
    rule, learnt = positions_of(policy.model), config.warm_start
    ordinary = isinstance(rule, InOrder)
    if tiny := config.policy.model == "tiny":
        found = f"policy.tiny.positions is {config.policy.tiny.positions}"
    else:
        kind = "column" if isinstance(rule, ColumnPositions) else "no line or column" if ordinary else "line"
        found = f"policy.model '{config.policy.model}' has {kind} positions"
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
        _check_columns(config, parts, policy.encoder, rule, found)
    if learnt is None:
        return ""
    if not ordinary and learnt.position_range is not None:
        raise ConfigError(
            f"warm_start.position_range is {learnt.position_range}, which needs ordinary positions, but "
            f"{found}; use warm_start.position_jumps instead, or set warm_start.position_range to null"
        )
    if ordinary and learnt.position_jumps is not None:
        other = "set policy.tiny.positions to lines or columns" if tiny else "take a model that has"
        raise ConfigError(
            f"warm_start.position_jumps is {learnt.position_jumps}, but {found}; {other}, or set "
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
    wider = "raise policy.tiny.line_stride" if tiny else "train a model with a larger policy.tiny.line_stride"
    envs = (*parts.curriculum, parts.env)
    warnings = [check_lines(envs, learnt, policy.encoder, rule, seed=config.seed, remedy=wider)]
    if isinstance(rule, ColumnPositions) and learnt.skipped_frac:
        warnings.append(
            f"warning: warm_start.skipped_frac is {learnt.skipped_frac:g}, and below a line that adds two "
            "columns the others stand one column off; set it to 0 for distances that never change"
        )
    return "\n".join(filter(None, warnings))


def _check_columns(config: Config, parts: Parts, encoder: Encoder, rule: ColumnPositions, found: str) -> None:
    """Refuse prompts whose first line is not a question with digits, and traces that take lines back."""
    other = "set policy.tiny.positions to rotary" if config.policy.model == "tiny" else "take another model"
    for split in map(Split, dict.fromkeys(("train", *config.eval.splits))):
        problem = parts.env.problem(split, 0)
        for asked in (problem, parts.env.with_budget(problem, 2)):
            ids = encoder.encode_prompt(asked)
            end = next((n for n, token in enumerate(ids) if token in rule.newline_ids), len(ids))
            line = encoder.tokenizer.decode(list(ids[:end]), skip_special_tokens=True)
            if line != problem.question or end == len(ids):
                raise ConfigError(
                    f"{found}, and the question is read from the first line of a prompt, but prompts of "
                    f"{split} begin with {line[:60]!r}; let prompts begin with the question on a line of its "
                    f"own, or {other}"
                )
            if not {*ids[:end]} & {*rule.digit_ids}:
                raise ConfigError(
                    f"{found}, and columns are for sums, but a question of '{parts.env.name}' has no digits: "
                    f"{line[:60]!r}; {other}"
                )
    for key in ("detour_frac", "search_frac"):
        if config.warm_start is not None and (share := getattr(config.warm_start, key)):
            raise ConfigError(
                f"warm_start.{key} is {share:g}, but {found}, and a line that is taken back moves those below "
                f"it one column on; set warm_start.{key} to 0, or {other}"
            )
