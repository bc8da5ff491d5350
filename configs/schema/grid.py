"""A grid: config keys with several values each, so that every case becomes one case a combination.

In: the cases of an ablation and its grid, `{dotted key: [values]}`, or `{dotted key: {label: value}}` for
values that are not plain scalars. Out: all cases by name. A name consists of the case's and, for each key, the
last two parts of the key and the value: `priced-grpo.beta_0.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import Any

Cases = dict[str, dict[str, Any]]
Grid = dict[str, dict[str, Any]]
"""By dotted key, the values by label."""

_LABEL = re.compile(r"[A-Za-z0-9._-]+")
_PARTS = 2  # of a key, in a name: `grpo.beta`, `step_count.weight`


def read_grid(data: Any) -> Any:
    """Give every value of a grid its label; anything but a mapping is left for the schema to refuse.

    Raises:
        ValueError: A key has no values, a value twice, or one that cannot be part of a name.
    """
    if not isinstance(data, dict):
        return data
    return {key: _labelled(str(key), values) for key, values in data.items()}


def expand(cases: Mapping[str, Mapping[str, Any]], grid: Grid) -> Cases:
    """Every case with every combination; without cases, the combinations alone.

    Raises:
        ValueError: A key is set twice, or two cases get the same name.
    """
    if not grid:
        return {case: dict(keys) for case, keys in cases.items()}
    _check_disjoint(cases, grid)
    names = _short_names(list(grid))
    expanded: Cases = {}
    for case, keys in cases.items() or [("", {})]:
        for labels in product(*grid.values()):
            parts = [f"{names[key]}_{label}" for key, label in zip(grid, labels, strict=True)]
            name = "-".join([*([case] if case else []), *parts])
            if name in expanded:
                raise ValueError(f"two cases would be called '{name}'; give a case or a value another name")
            values = {key: grid[key][label] for key, label in zip(grid, labels, strict=True)}
            expanded[name] = {**keys, **values}
    return expanded


def _labelled(key: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, list | dict) or not values:
        raise ValueError(f"'{key}' is {values!r}; give a list of values, or a mapping of label to value")
    if isinstance(values, dict):
        labelled = {str(label): value for label, value in values.items()}
    else:
        labelled = {}
        for value in values:
            label = _label(key, value)
            if label in labelled:
                raise ValueError(f"'{key}' has {label} twice")
            labelled[label] = value
    for label in labelled:
        if not _LABEL.fullmatch(label):
            raise ValueError(
                f"'{key}' has {label!r}, which would name folders: letters, digits, '_', '-' and '.'; give a "
                "mapping of label to value"
            )
    return labelled


def _label(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return repr(value).replace("+", "")
    if isinstance(value, str):
        return value
    raise ValueError(f"'{key}' has {value!r}, which cannot be part of a name; give a mapping of label to value")


def _short_names(keys: list[str]) -> dict[str, str]:
    """The ends of the keys, as long as needed to differ."""
    longest = max(key.count(".") + 1 for key in keys)
    for parts in range(_PARTS, longest + 1):
        names = {key: ".".join(key.split(".")[-parts:]) for key in keys}
        if len(set(names.values())) == len(keys):
            return names
    return {key: key for key in keys}


def _check_disjoint(cases: Mapping[str, Mapping[str, Any]], grid: Grid) -> None:
    for one, other in combinations(grid, 2):
        if _within(one, other) or _within(other, one):
            raise ValueError(f"grid: '{one}' and '{other}' set the same key; leave one out")
    for case, keys in cases.items():
        for name, value in _leaves(keys):
            for key in grid:
                # A case may set a whole (a list of reward terms) of which the grid changes a part.
                if _within(name, key) or (value is None and _within(key, name)):
                    raise ValueError(f"case '{case}' sets '{name}' and the grid '{key}'; leave one out")


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _leaves(keys: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in keys.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
