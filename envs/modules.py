"""Modules of a user's own: a class or a function by its name, `package.module:name`.

In: the name. Out: the object, and the folder in which its module was found. Python's own path comes first, then
the folder given (that of the run's config), then the current folder. The module is imported into this process:
it is trusted, as any import is.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from envs.one_line import one_line


class UserModuleError(ValueError):
    """A user's class or function cannot be had; the message is one clause that says why and what to do."""


def add_folder(folder: str | None) -> None:
    """Look for modules in this folder too, after all others."""
    if folder and folder not in sys.path:
        sys.path.append(folder)


def find_object(
    name: str, folder: str | None = None, *, kind: str, form: str, fits: Callable[[Any], bool], advice: str = ""
) -> tuple[Any, str]:
    """Import a user's class or function.

    Args:
        name: `package.module:name`.
        folder: A folder in which to look.
        kind: What it is, in messages: `function`, `environment`.
        form: The form of its name, in messages: `package.module:Class`.
        fits: Whether an object of the module is one.
        advice: What to do about an object of that name that is none.

    Returns:
        The object, and the folder of its module, from which another process can import it.

    Raises:
        UserModuleError: The module cannot be imported, or it has no such object.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise UserModuleError(f"'{name}' names no {kind}; give {form}")
    add_folder(folder)
    add_folder(str(Path.cwd()))
    module = _import(module_name, form, folder)
    file = getattr(module, "__file__", None)
    if file is None:
        raise UserModuleError(f"{module_name} is built in; give a {kind} of your own")
    found = getattr(module, attribute, None)
    if not fits(found):
        there = [key for key, value in vars(module).items() if _is_own(key, value, module) and fits(value)]
        close = get_close_matches(attribute, there, n=1, cutoff=0.5)
        hint = f"; did you mean '{close[0]}'?" if close else ";"
        other = f" ('{attribute}' is none: {advice})" if advice and hasattr(module, attribute) else ""
        known = ", ".join(there) or "none"
        raise UserModuleError(
            f"{module_name} has no {kind} '{attribute}'{other}{hint} it has: {known} ({file})"
        )
    path = Path(file).resolve()
    return found, str(path.parents[module_name.count(".") + (path.name == "__init__.py")])


def _is_own(key: str, value: Any, module: ModuleType) -> bool:
    return not key.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__


def _import(module_name: str, form: str, folder: str | None) -> ModuleType:
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    top = module_name.partition(".")[0]
    known = {*sys.modules}
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        for new in {*sys.modules} - known:  # half an import would answer the next one
            if new == top or new.startswith(f"{top}."):
                del sys.modules[new]
        advice = ""
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            places = " or ".join(dict.fromkeys([*([folder] if folder else []), str(Path.cwd())]))
            advice = (
                f"; give {form}, with the module beside the config, in the current folder or on "
                f"PYTHONPATH (it is not in {places})"
            )
        raise UserModuleError(f"cannot import {module_name}: {describe_error(error)}{advice}") from None
    beside = None if folder is None else PathFinder.find_spec(top, [folder])
    if beside is not None and beside.origin is not None:
        origin = getattr(sys.modules[top], "__file__", None)
        if origin is not None and Path(origin).resolve() != Path(beside.origin).resolve():
            raise UserModuleError(
                f"{beside.origin} is hidden by {origin}, which Python finds first; rename one of them"
            )
    return module


def loaded_files(modules: Iterable[str]) -> dict[str, Path]:
    """The files of users' modules, and of the others of theirs beside them that are imported too.

    Args:
        modules: Dotted names of modules that have been imported.

    Returns:
        Files by their path within the folder they were found in.
    """
    folders: dict[Path, None] = {}
    for name in modules:
        if file := getattr(sys.modules.get(name), "__file__", None):
            path = Path(file).resolve()
            folders[path.parents[name.count(".") + (path.name == "__init__.py")]] = None
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = sorted({Path(file).resolve() for file in loaded if isinstance(file, str) and _is_users(file)})
    return {
        str(file.relative_to(folder)): file
        for folder in folders
        for file in files
        if file.is_relative_to(folder) and file.is_file()
    }


def describe_error(error: BaseException) -> str:
    """An exception that a user's code raised, in one line: type, message, and where in their files."""
    said = one_line(f"{type(error).__name__}: {error}").removesuffix(":")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if isinstance(error, SyntaxError) or not frames:
        return said
    return f"{said} ({frames[-1].filename}, line {frames[-1].lineno})"


_CODE = Path(__file__).resolve().parents[1]
_NOT_THEIRS = (
    *[f"{_CODE / package}{os.sep}" for package in ("envs", "rewards", "rollout", "rl", "scripts")],
    *sorted({f"{sysconfig.get_path(key)}{os.sep}" for key in ("stdlib", "platstdlib", "purelib", "platlib")}),
    "<",
)


def _is_users(file: str) -> bool:
    return not file.startswith(_NOT_THEIRS)
