"""The reward reference, from the functions' docstrings and declarations, and the presets with their papers."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import yaml
from docstrings import markdown

from configs.schema.shipped import Shipped
from rewards.registry import REWARDS, Reward

_INTRO = """\
# Rewards

Generated from the reward functions (`rewards/`) and the presets (`configs/rewards/`). The reward of a
completion is a sum of terms from `rewards.terms`: each multiplies the value of one function by a
weight, and counts only where its `gate` (`correct` or `verified`) and its `when` conditions let it.

Every function declares its range for right and for wrong answers. Weights with which a wrong answer could
earn as much as a right one are refused before the run. `L` is a completion's length in tokens, `c` is 1 for a
right answer and 0 otherwise.

A reward of your own needs no change in Stride: [Your own reward](recipes/own_reward.md).
"""


def reward_page() -> str:
    """The page."""
    by_module: dict[str, list[str]] = {}
    for name, reward in REWARDS.items():
        by_module.setdefault(reward.function.__module__, []).append(name)
    parts = [_INTRO]
    for module, names in by_module.items():
        parts.append(f"## {module.rpartition('.')[2].capitalize()}\n")
        parts.append(markdown((inspect.getmodule(REWARDS[names[0]].function) or object).__doc__ or ""))
        parts += [_reward(name, REWARDS[name]) for name in names]
    parts.append(
        "## Presets\n\nAn entry `preset: NAME` in `rewards.terms` stands for the terms of a paper's reward.\n"
    )
    parts += [_preset(Shipped.REWARDS.path(name)) for name in Shipped.REWARDS.names]
    return "\n".join(parts)


def _reward(name: str, reward: Reward) -> str:
    declared = reward.declared
    facts = [f"right answers {_range(declared.when_right)}, wrong answers {_range(declared.when_wrong)}"]
    if declared.per_tokens:
        facts = ["0 to `limit` / `per_tokens`"]
    if declared.group:
        facts.append("reads the whole group")
    if declared.history:
        facts.append("reads the history of the run")
    if declared.budget:
        facts.append("needs `grpo.budget_frac`")
    if declared.checked_steps:
        facts.append("needs a task that checks steps" + " and backtracks" * declared.checked_backtracks)
    if declared.lines is not None:
        facts.append("`grpo.credit: parts` credits it to single lines")
    arguments = [
        f"`{key}` (default `{_default(parameter)}`)"
        for key, parameter in inspect.signature(reward.function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and key != "history"
    ]
    if arguments:
        facts.append(f"arguments: {', '.join(arguments)}")
    body = markdown(reward.function.__doc__ or "")
    return f"### `{name}`\n\n{body}\n*{'; '.join(facts)}.*\n"


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.name == "limit":
        return "rollout.max_new_tokens"
    return "required" if parameter.default is inspect.Parameter.empty else parameter.default


def _range(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _preset(path: Path) -> str:
    text = path.read_text()
    about = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert "terms" in yaml.safe_load(body)
    return f"### `preset: {path.stem}`\n\n{about}\n\n```yaml\n{body.strip()}\n```\n"
