"""The keys in which configs differ, in the form of the command line.

In: resolved configs as plain data. Out: the value of each config for every key that is not the same in all of
them. Reward terms are named: `rewards.terms.step_count.weight`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from configs.schema.config import RewardTermConfig

ABSENT = "–"
"""Shown where a config does not have the key."""

OF_THE_RUN = ("seed", "name", "output_dir", "modules_dir")
"""Keys that identify a run and do not change what it does."""


_TERM = re.compile(r"rewards\.terms\.[^.]+\.(?P<field>\w+)")


class Change(NamedTuple):
    """A key that a case sets to another value than the baseline."""

    key: str
    base: str
    value: str


def case_changes(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Change]]:
    """What each config changes in the first one, in the order of the keys.

    Where only one of the two has a reward term, the fields of the term that have their default are left out.
    """
    base, *others = configs
    found = differences(configs)
    return {
        name: [
            Change(key=key, base=values[base], value=values[name])
            for key, values in found.items()
            if values[name] != values[base] and not _is_default(key, values[base], values[name])
        ]
        for name in others
    }


def _is_default(key: str, *values: str) -> bool:
    """Whether a field of a reward term is absent on one side and has its default on the other."""
    match = _TERM.match(key)
    field = RewardTermConfig.model_fields.get(match["field"]) if match else None
    if match is None or field is None or field.is_required() or ABSENT not in values:
        return False
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):  # a section: the key names one of its fields
        default = default.model_dump(mode="json")
    shown = _flat(default, key[: match.end("field")]).get(key)
    return all(value in (ABSENT, shown) for value in values)


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
