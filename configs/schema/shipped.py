"""The configs that come with Stride, found by name: `quickstart` for a run, `gate` for an ablation.

In: what the user typed, a path or a name. Out: the path of a YAML file. A file at that path always wins, so a
shipped name never hides a file of the user's.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from pathlib import Path

from configs.schema.yaml_text import ConfigError

_ROOT = Path(__file__).resolve().parents[1]


class Shipped(Enum):
    """A kind of shipped config; the value is its folder."""

    RUN = _ROOT
    ABLATION = _ROOT / "ablations"
    REWARDS = _ROOT / "rewards"

    @property
    def names(self) -> list[str]:
        """Names of the shipped files, without their suffix."""
        return sorted(path.stem for path in self.value.glob("*.yaml"))

    def path(self, name: str) -> Path:
        """Where the file of a name is."""
        folder: Path = self.value
        return folder / f"{name}.yaml"


_COMMANDS = {Shipped.RUN: "stride train", Shipped.ABLATION: "stride ablate"}


def find_config(given: str | Path, kind: Shipped = Shipped.RUN) -> Path:
    """The file that a path or the name of a shipped config stands for.

    Args:
        given: A path, or a name: a word without a folder or a suffix.
        kind: Which shipped configs to look among.

    Raises:
        ConfigError: No shipped config has this name; the message gives the nearest one.
    """
    path = Path(given)
    if path.is_file():
        return path
    if is_name(given):
        return _by_name(str(given), kind)
    if not path.exists() and path.stem in kind.names and not _near(path):
        raise ConfigError(
            f"cannot read config {path}: No such file or directory; the shipped config is called "
            f"'{path.stem}', without a folder or .yaml"
        )
    return path


def is_name(given: str | Path) -> bool:
    """Whether this is a name rather than a path: one word without a suffix that is no folder here."""
    path = Path(given)
    return str(given) == path.name and not path.suffix and not (path.is_dir() and not _is_shipped(path.name))


def _is_shipped(name: str) -> bool:
    return any(name in kind.names for kind in _COMMANDS)


def _by_name(name: str, kind: Shipped) -> Path:
    if name in kind.names:
        return kind.path(name)
    for other, command in _COMMANDS.items():
        if other is not kind and name in other.names:
            raise ConfigError(f"'{name}' is a shipped config for `{command}`; run `{command} {name}`")
    close = get_close_matches(name, kind.names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    raise ConfigError(
        f"unknown config '{name}'{hint} shipped: {', '.join(kind.names)}; or give the path of a YAML file"
    )


def _near(path: Path) -> list[str]:
    """Files beside a path with a similar name."""
    known = [other.name for other in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    return get_close_matches(path.name, known, n=1)
