"""From a YAML file and command-line overrides to a checked `Config`.

`load_config("configs/quickstart.yaml", ["grpo.updates=20", "rollout.backend=ray"])`. Every mistake is a
`ConfigError` whose one line names the key, what was given, what is allowed and, for a misspelt key, the
nearest right one; all mistakes of a file are reported together.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from configs.schema.config import Config
from configs.schema.messages import describe_errors, section_in
from configs.schema.presets import expand_presets
from configs.schema.shipped import find_config
from configs.schema.yaml_text import NOT_YAML, ConfigError, Dumper, parse_yaml, read_yaml


def load_config(
    path: str | Path, overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> Config:
    """Read, override and check a config.

    Args:
        path: A YAML file, or the name of a shipped config.
        overrides: `dotted.key=value`, the value in YAML (`grpo.beta=0.01`, `eval.splits=[id]`).
        changes: Values by dotted key, set after the overrides. Of a section given as a mapping only the keys in
            it are set.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is not allowed.
    """
    path = find_config(path)
    data = read_yaml(path)
    if ("cases" in data or "grid" in data) and "env" not in data:
        raise ConfigError(f"{path} is an ablation; run it with `stride ablate`")
    folder = path.parent
    preset_keys = expand_presets(data, folder) or {}
    leaves = [leaf for key, value in (changes or {}).items() for leaf in _leaves(key, value)]
    for key, value, source in [*map(_read_override, overrides), *leaves]:
        _set(data, key, value, source=source)
        if key in ("rewards", "rewards.terms"):
            preset_keys = {}  # the presets that set these keys are replaced
        preset_keys = expand_presets(data, folder) or preset_keys
    if isinstance(data.get("rewards"), dict):
        data["rewards"] = {**preset_keys, **data["rewards"]}
    _set_modules_dir(data, folder)
    return check_config(data, source=str(path))


def _set_modules_dir(data: dict[str, Any], folder: Path) -> None:
    """Where modules of the user's own are: the whole path, since a run may continue from another folder."""
    given = data.get("modules_dir")
    if isinstance(given, str) or (given is None and _names_modules(data.get("env"), data.get("rewards"))):
        data["modules_dir"] = str((folder / (given or "")).resolve())


def _names_modules(*sections: Any) -> bool:
    """Whether something in the sections has a name `package.module:object`."""
    for section in sections:
        if isinstance(section, dict):
            name = section.get("name")
            if (isinstance(name, str) and ":" in name) or _names_modules(*section.values()):
                return True
        elif isinstance(section, list) and _names_modules(*section):
            return True
    return False


def check_config(data: dict[str, Any], *, source: str = "config") -> Config:
    """Check plain data against the schema.

    Raises:
        ConfigError: With one clause for every mistake.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe_errors(error, Config)}") from None


def dump_config(config: Config) -> str:
    """The whole resolved config as YAML, defaults included; loading it gives the same config."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=Dumper, sort_keys=False)


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """The mapping that `dotted.key=value` overrides make by themselves.

    Raises:
        ConfigError: One cannot be read.
    """
    data: dict[str, Any] = {}
    for key, value, source in map(_read_override, overrides):
        _set(data, key, value, source=source)
    return data


def _read_override(override: str) -> tuple[str, Any, str]:
    """Key, value, and its name in messages."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} is not of the form dotted.key=value")
    try:
        value = parse_yaml(text)
    except NOT_YAML:
        raise ConfigError(f"override {override!r}: {text!r} is not a YAML value") from None
    return key, value, f"override {override!r}"


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any, str]]:
    """The same of a change; for a section, one of each key in it."""
    if isinstance(value, dict) and _is_section(key):
        for inner, part in value.items():
            yield from _leaves(f"{key}.{inner}", part)
    else:
        yield key, value, f"'{key}'"


def _is_section(key: str) -> bool:
    """Whether a dotted key is that of a section, and not one whose value is itself a mapping."""
    current: Any = Config
    for part in key.split("."):
        field = getattr(current, "model_fields", {}).get(part)
        current = None if field is None else section_in(field.annotation)
        if field is None or typing.get_origin(field.annotation) is list:
            return False
    return current is not None


def _set(data: dict[str, Any], key: str, value: Any, *, source: str) -> None:
    node, done, rest = data, "", key
    while True:
        part, _, after = rest.partition(".")
        if not after:
            node[part] = deepcopy(value)  # later changes within it stay ours
            return
        done = f"{done}.{part}".lstrip(".")
        child = node.get(part)
        if child is None:
            child = node[part] = {}
        if isinstance(child, list):
            child, name = _named(child, after, done, source)
            done, after = f"{done}.{name}", after[len(name) + 1 :]
        if not isinstance(child, dict):
            raise ConfigError(f"{source}: {done} is {child!r}, not a section")
        node, rest = child, after


def _named(entries: list[Any], rest: str, key: str, source: str) -> tuple[dict[str, Any], str]:
    """The entry of a list that the rest of a key names, and its name."""
    named = {
        entry["name"]: entry
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    }
    for name, entry in named.items():
        if rest.startswith(f"{name}."):
            return entry, name
    if not named:
        raise ConfigError(f"{source}: {key} is a list; give it whole")
    close = get_close_matches(rest.rpartition(".")[0], named, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    raise ConfigError(
        f"{source}: {key} is a list, of which '{rest}' names no entry's key{hint} known: {', '.join(named)}; "
        "or give the list whole"
    )
