"""Environments of a user's own: a class in their file, found by its name `package.module:Class`.

In: the name. Out: a class that the registry treats as one of Stride's. Its code runs where Stride's does, in
the processes of learner and workers, and is trusted like it. An instance is pickled with the place of its file,
so that an actor can import it wherever it runs.
"""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from envs.base import Env
from envs.modules import UserModuleError, describe_error, find_object
from envs.problem import Problem, Split


def find_own_env(name: str, folder: str | None = None) -> type[Env[Any]]:
    """Import the class.

    Args:
        name: `package.module:Class`.
        folder: A folder in which to look.

    Raises:
        UserModuleError: It cannot be imported, or is no complete environment.
    """
    found, place = find_object(
        name,
        folder,
        kind="environment",
        form="package.module:Class",
        fits=_is_env,
        advice="derive it from envs.Env or envs.GeneratedEnv",
    )
    if missing := sorted(found.__abstractmethods__):
        raise UserModuleError(
            f"'{name}' does not define {', '.join(missing)}, without which it is no environment"
        )
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
        raise UserModuleError(
            f"Settings of '{name}' is {settings!r}; it should be a class of pydantic.BaseModel"
        )
    _ORIGINS[found] = _Origin(name, place)
    copyreg.pickle(found, _pickle)
    own: type[Env[Any]] = found
    return own


def _is_env(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Env)


def is_own(env: Env[Any]) -> bool:
    """Whether the environment is a user's own."""
    return type(env) in _ORIGINS


def own_fault(env: Env[Any], error: Exception) -> str:
    """What a user's environment raised, as a clause that names it and the line."""
    return f"environment '{_ORIGINS[type(env)].name}' raised {describe_error(error)}"


class OwnEnvError(RuntimeError):
    """A user's environment failed where there is nothing to judge; one line that names it and the place."""

    exit_code: ClassVar[int] = 1


def draw_problem(env: Env[Any], split: Split, index: int) -> Problem:
    """`env.problem`, where an exception of a user's environment, such as a data file that is gone, is one line.

    Raises:
        OwnEnvError: A user's environment raised.
    """
    try:
        return env.problem(split, index)
    except Exception as error:
        own = next((part for part in env.parts.values() if is_own(part)), None)
        if own is None:
            raise
        raise OwnEnvError(f"{own_fault(own, error)}, on {env.name}/{split}/{index}") from None


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a class comes from; unpickling it imports the module.

    Attributes:
        name: `package.module:Class`.
        folder: Folder of its module.
    """

    name: str
    folder: str

    def __reduce__(self) -> tuple[Any, ...]:
        folder, here = Path(self.folder), Path.cwd()
        inside = str(folder.relative_to(here)) if folder.is_relative_to(here) else None
        return _import_again, (self.name, self.folder, inside)


_ORIGINS: dict[type[Env[Any]], _Origin] = {}


def _import_again(name: str, folder: str, inside: str | None) -> _Origin:
    """Import a class in another process, whose current folder may be a copy of the first one's (a Ray job)."""
    copied = None if inside is None else str(Path.cwd() / inside)
    if not Path(folder).is_dir() and copied is not None:
        folder = copied
    return _ORIGINS[find_own_env(name, folder)]


def _pickle(env: Env[Any]) -> tuple[Any, ...]:
    """As any object, but the module is imported before anything of it is named."""
    reduced: Any = object.__reduce_ex__(env, 2)
    make, arguments, *rest = reduced
    return (_make, (_ORIGINS[type(env)], make, arguments), *rest)


def _make(origin: _Origin, make: Any, arguments: tuple[Any, ...]) -> Any:
    return make(*arguments)
