"""Check that environments keep their contract.

Problems are deterministic and splits disjoint, every reference trace is accepted, near misses and hostile texts
are refused, and no text makes the check raise. Without a NAME every registered environment is checked. One of
your own is package.module:Class or FILE.py:Class, with its settings as key=value. It is ready when this passes;
what it does not define is not checked, and listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.arguments import Arguments, closest
from scripts.exits import user_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs import Env


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, check, print one line per environment; returns 1 if one breaks the contract."""
    parser = Arguments(
        "check", about=f"{__doc__}", example="stride check my_env.py:SortBySwaps seed=1 --num-problems 50"
    )
    parser.add_argument("words", nargs="*", metavar="NAME | key=value", help="environments; settings of one")
    parser.add_argument("-n", "--num-problems", type=int, default=200, help="problems per split (default 200)")
    arguments = parser.parse_intermixed_args(argv)
    if arguments.num_problems < 1:
        parser.error(f"--num-problems is {arguments.num_problems}; give at least 1")
    names = [word for word in arguments.words if "=" not in word]
    overrides = [word for word in arguments.words if "=" in word]
    if overrides and len(names) != 1:
        parser.error(f"{overrides[0]} is a setting; give one NAME with it")
    from envs import ENVS
    from envs.check.table import check_all
    from envs.registry import MIXTURE

    for name in names:
        if ":" not in name and name not in (*ENVS, MIXTURE):
            hint = closest(name, list(ENVS))
            parser.error(
                f"unknown environment '{name}'{hint} known: {', '.join([*ENVS, MIXTURE])}, or your own as "
                "package.module:Class or FILE.py:Class"
            )
    with user_errors():
        from configs.schema.load import read_overrides

        settings = read_overrides(overrides)
        envs = {name: _build(name, settings) for name in names or ENVS}
    return 1 if check_all(envs, num_problems=arguments.num_problems) else 0


def _build(name: str, settings: Mapping[str, Any]) -> Env[Any]:
    """The environment with its example settings and those given.

    Raises:
        ConfigError: The name or a setting is wrong.
    """
    from pydantic import ValidationError

    from configs import ConfigError, describe_errors
    from envs import make_example
    from envs.mixture import PartError
    from envs.registry import find_env

    module, colon, attribute = name.partition(":")
    folder = None
    if module.endswith(".py"):
        file = Path(module)
        if not file.is_file():
            raise ConfigError(f"'{name}': there is no file {file}")
        folder, name = str(file.resolve().parent), f"{file.stem}{colon}{attribute}"
    try:
        return make_example(name, folder, **settings)
    except ValidationError as error:
        reason = describe_errors(error, find_env(name, folder).Settings)
        raise ConfigError(f"settings of '{name}': {reason}") from None
    except PartError as error:
        raise ConfigError(f"settings.{error.where}: {describe_errors(error.error, error.schema)}") from None
    except ValueError as error:
        raise ConfigError(f"environment '{name}': {error}") from None


if __name__ == "__main__":
    raise SystemExit(main())
