"""The model that a user names, and the config that goes with it, for commands that take both."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs import Config


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments MODEL, CONFIG, which a model of a run does not need, and key=value."""
    parser.add_argument("model", metavar="MODEL", help="folder of a run or model, hub id, or `config`")
    parser.add_argument(
        "config",
        metavar="CONFIG",
        nargs="?",
        help="YAML file, or the name of a shipped config; default: that of the run",
    )
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="config keys, dotted")


def parse_with_model(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of a command with MODEL; the first key=value is not taken for CONFIG."""
    arguments = parser.parse_intermixed_args(argv)
    if arguments.config is not None and "=" in arguments.config:
        arguments.overrides.insert(0, arguments.config)
        arguments.config = None
    return arguments


def find_model(command: str, model: str, config: str | None, overrides: list[str]) -> tuple[str, Config]:
    """The model, and the config given or that of the run it comes from.

    Args:
        command: Name of the command, for messages.
        model: Folder of a run or of a model, hub id, or `config`.
        config: YAML file or name of a shipped config; None: that of the run.
        overrides: Config keys, dotted.

    Raises:
        ConfigError: A config is needed and not given, or is wrong.
        RunFolderError: The folder holds no model.
    """
    from configs import ConfigError, load_config

    if not Path(model).is_dir():
        if config is None:
            raise ConfigError(
                f"'{model}' is no folder of a run, so CONFIG is needed: stride {command} {model} CONFIG"
            )
        return model, load_config(config, overrides)
    from rl.runs.models import find_trained

    trained = find_trained(Path(model))
    used = config or trained.config
    if used is None:
        raise ConfigError(f"{model} comes from no run, so CONFIG is needed: stride {command} {model} CONFIG")
    return str(trained.path), load_config(used, overrides)
