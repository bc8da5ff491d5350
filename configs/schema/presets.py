"""Presets of rewards: an entry `preset: NAME` in `rewards.terms`, replaced by the terms it stands for.

In: the plain data of a config. Out: the same, with terms alone. A preset is a YAML file with `terms` and the
other keys of the `rewards` section that its paper requires. A term that the config gives by name replaces the
preset's, and so does every other key.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from configs.schema.shipped import Shipped
from configs.schema.yaml_text import ConfigError, read_yaml


def expand_presets(data: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """Put the terms of presets in their places.

    Args:
        data: A whole config, changed in place. What is no list of mappings is left to the schema to refuse.
        folder: Where relative paths of presets start.

    Returns:
        The other keys of `rewards` that the presets set; None if there is no preset. `allow_wrong_above_right`
        is included only if the preset is the only entry: its formula needs it, other terms may not.

    Raises:
        ConfigError: There is no such preset, it is no preset, or two presets disagree on a term.
    """
    rewards = data.get("rewards")
    if not isinstance(rewards, dict) or not isinstance(terms := rewards.get("terms"), list):
        return None
    if not any(isinstance(term, dict) and "preset" in term for term in terms):
        return None
    own = {term["name"] for term in terms if isinstance(term, dict) and isinstance(term.get("name"), str)}
    found: list[Any] = []
    from_presets: dict[Any, tuple[str, Any]] = {}
    keys: dict[str, tuple[str, Any]] = {}
    for term in terms:
        if not isinstance(term, dict) or "preset" not in term:
            found.append(term)
            continue
        if term.keys() != {"preset"}:
            more = ", ".join(sorted(map(str, term.keys() - {"preset"})))
            raise ConfigError(
                f"rewards.terms: 'preset: {term['preset']}' stands alone in its entry; found {more} too"
            )
        preset, name = _read(term["preset"], folder), str(term["preset"])
        for own_term in preset.pop("terms"):
            key = own_term.get("name")
            if key in from_presets and from_presets[key][1] != own_term:
                raise ConfigError(
                    f"rewards.terms: the presets {from_presets[key][0]} and {name} have different terms "
                    f"'{key}'; add the one you want to the list"
                )
            if key not in own and key not in from_presets:
                found.append(own_term)
            from_presets[key] = (name, own_term)
        for key, value in preset.items():
            if key in keys and keys[key][1] != value and key not in rewards:
                raise ConfigError(
                    f"the presets {keys[key][0]} and {name} differ in {key}; set rewards.{key} yourself"
                )
            keys[key] = (name, value)
    rewards["terms"] = found
    if len(terms) > 1:
        keys.pop("allow_wrong_above_right", None)
    return {key: value for key, (_, value) in keys.items()}


def _read(name: Any, folder: Path) -> dict[str, Any]:
    known = Shipped.REWARDS.names
    if isinstance(name, str) and name.endswith(".yaml"):
        path = folder / name
    elif name in known:
        path = Shipped.REWARDS.path(name)
    else:
        close = get_close_matches(str(name), known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ConfigError(
            f"unknown reward preset '{name}'{hint} known: {', '.join(known)}, or the path of a .yaml file"
        )
    preset = read_yaml(path)
    terms = preset.get("terms")
    if not isinstance(terms, list) or not all(
        isinstance(term, dict) and isinstance(term.get("name"), str) for term in terms
    ):
        raise ConfigError(f"{path} is no preset of rewards: it needs 'terms', a list of entries with a 'name'")
    return preset
