"""The keys in which configs differ, in the form of the command line.

In: resolved configs as plain data. Out: the value of each config for every key that is not the same in all of
    them.
Reward terms are named: `rewards.terms.step_count.weight`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ABSENT = "–"
"""Shown where a config does not have the key."""

OF_THE_RUN = ("seed", "name", "output_dir")
"""Keys that identify a run and do not change what it does."""


def differences(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The keys that differ, in the order of the configs, with the value in each config.

    Example: {"a": {"grpo": {"beta": 0}}, "b": {"grpo": {"beta": 0.1}}} gives
    {"grpo.beta": {"a": "0", "b": "0.1"}}.
    """
    flat = {name: _flat(config) for name, config in configs.items()}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    found = {key: {name: values.get(key, ABSENT) for name, values in flat.items()} for key in keys}
    return {key: values for key, values in found.items() if key not in OF_THE_RUN and _differ(values)}


def _differ(values: Mapping[str, str]) -> bool:
    """Whether values differ. An empty section counts as absent: its keys in other configs are listed anyway."""
    return len(set(values.values()) - {"{}"} | ({ABSENT} if "{}" in values.values() else set())) > 1


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """The leaves of a config by dotted key, as text."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and "name" in part for part in value):
        names = [str(part["name"]) for part in value]
        if len(set(names)) == len(names):
            value = {
                name: {k: v for k, v in part.items() if k != "name"}
                for name, part in zip(names, value, strict=True)
            }
    if not isinstance(value, dict) or not value:
        return {prefix: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
