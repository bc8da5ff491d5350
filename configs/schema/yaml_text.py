"""YAML as configs use it: read strictly, written so that it reads back the same.

In: a file or a text. Out: plain data, unchecked. Every mistake is a `ConfigError` of one line.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import yaml


class ConfigError(ValueError):
    """A mistake in a config file or an override."""

    exit_code: ClassVar[int] = 2


class _Loader(yaml.SafeLoader):
    """Reads `1e-5` as a number, where YAML 1.1 reads text, and refuses a key that occurs twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a repeated key, before the keys that `<<` merges in are added."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{twice[0]}' is there twice", node.start_mark
            )
        return node


class Dumper(yaml.SafeDumper):
    """Quotes the texts `_Loader` would read as numbers."""


for _side in (_Loader, Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )

# A date or an integer that cannot be is a ValueError of Python's own, deep nesting a RecursionError.
NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)


def parse_yaml(text: str) -> Any:
    """Parse a text; one that is not YAML raises one of `NOT_YAML`."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds, unchecked.

    Raises:
        ConfigError: The file cannot be read or holds something else.
    """
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        close = get_close_matches(path.name, known, n=1)
        hint = f"; did you mean {path.with_name(close[0])}?" if close else "; give a YAML file"
        raise ConfigError(f"cannot read config {path}: {error.strerror or error}{hint}") from None
    except NOT_YAML as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, not a mapping of config keys")
    return data
