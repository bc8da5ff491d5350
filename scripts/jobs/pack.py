"""The folder that a job gets, as one zip file that is small enough for Ray.

In: the config, and the current folder. Out: the current folder's files, the folder of the config where that is
another one, the files that the config names, and Stride's own code if it is run from a checkout (elsewhere the
nodes have it installed). Runs, checkpoints, caches, virtual environments and whatever starts with a dot stay
here, and so does what `.gitignore` and `.rayignore` of the current folder name, unless the config names it too.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from configs import Config
from scripts.jobs.errors import SubmitError

CODE = Path(__file__).resolve().parents[2]
MAX_BYTES = 100 * 2**20
"""Ray refuses more."""

_MAX_FILES = 20_000
_PACKAGES = ("configs", "envs", "rewards", "rollout", "rl", "scripts")
_CONFIG_FOLDER = "job_config"
# Of anyone's folder; names at any depth, or /names at the top.
_NEVER = (".*", "__pycache__", "venv", "node_modules", "*.egg-info", "wandb", "checkpoint-*", "/runs")
_NEVER_OF_CODE = (".*", "__pycache__")  # rl/runs is code
_OF_A_RUN = ("config.yaml", "provenance.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NO_PATHS = ("name", "output_dir", "modules_dir")


@dataclass(frozen=True, kw_only=True)
class Package:
    """What a job gets.

    Attributes:
        files: Files of this machine by their path in the job's folder.
        config: The config as the job names it: its path there, or the name of a shipped one.
        left_out: Files and folders of the current folder that stay here.
        absolute: Paths that the config names from the root, which the nodes must have.
    """

    files: Mapping[str, Path]
    config: str
    left_out: Sequence[str] = field(default=())
    absolute: Sequence[str] = field(default=())

    def sizes(self) -> Counter[str]:
        """Bytes by entry at the top of the job's folder."""
        sizes: Counter[str] = Counter()
        for name, path in self.files.items():
            sizes[Path(name).parts[0]] += path.stat().st_size
        return sizes

    def describe(self) -> list[str]:
        """Lines that say what is sent and what is not."""
        sizes = self.sizes()
        lines = [
            f"sending {len(self.files)} files, {_mib(sizes.total())} (largest: {_largest(sizes)})"
            + (f"; left here: {_few(self.left_out)}" if self.left_out else "")
        ]
        if self.absolute:
            lines.append(f"the nodes must have what the config names by absolute path: {_few(self.absolute)}")
        return lines

    def check_size(self, limit: int = MAX_BYTES) -> None:
        """Refuse what Ray would refuse after it has been sent.

        Raises:
            SubmitError: Over `limit` bytes; names the largest entries.
        """
        sizes = self.sizes()
        if sizes.total() > limit:
            raise SubmitError(
                f"the job's folder would have {_mib(sizes.total())}, over {_mib(limit)}; largest: "
                f"{_largest(sizes)}. Name what the job does not need in .rayignore; put large data and models "
                "on storage that all nodes read, and give their absolute path"
            )

    def write(self, path: Path) -> None:
        """Write the zip file; the same bytes for the same files, so that Ray recognises what it has."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(self.files):
                source = self.files[name]
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if os.access(source, os.X_OK) else 0o644) << 16
                archive.writestr(entry, source.read_bytes())


def pack(config: Config, file: Path, here: Path, *, code: Path = CODE) -> Package:
    """Choose the files of a job.

    Args:
        config: The config, with its overrides.
        file: Its file.
        here: The current folder, which the paths in it start from.
        code: Where Stride's own packages are.

    Raises:
        SubmitError: A file of the current folder has the place of one of Stride's own, a path in the config
            leaves the current folder, or there are more files than a job's folder should have.
    """
    here, file = here.resolve(), file.resolve()
    files: dict[str, Path] = {}
    if is_checkout(code):
        for package in _PACKAGES:
            for name, path in _walk(code / package, [], [], never=_NEVER_OF_CODE):
                files[f"{package}/{name}"] = path
    left_out: list[str] = []
    for name, path in _walk(here, _ignored(here), left_out):
        _add(files, name, path)
    if file.parent == code / "configs":
        given = file.stem
    elif file.is_relative_to(here):
        given = file.relative_to(here).as_posix()
        _add(files, given, file)
    else:
        given = f"{_CONFIG_FOLDER}/{file.name}"
        for name, path in _walk(file.parent, _ignored(file.parent), []):
            _add(files, f"{_CONFIG_FOLDER}/{name}", path)
        _add(files, given, file)
    absolute = []
    for key, named in _named_paths(config):
        if named.is_absolute():
            absolute.append(str(named))
        else:
            _add_named(files, key, named, here)
    sent = {Path(name).parts[0] for name in files}
    return Package(
        files=files,
        config=given,
        left_out=sorted(set(left_out) - sent, key=lambda name: (name.startswith("."), name)),
        absolute=sorted(set(absolute)),
    )


def is_checkout(code: Path = CODE) -> bool:
    """Whether Stride is run from a checkout, so that its code travels with the job."""
    return (code / "pyproject.toml").is_file()


def _add(files: dict[str, Path], name: str, path: Path) -> None:
    other = files.setdefault(name, path)
    if other != path and other.resolve() != path.resolve():
        raise SubmitError(
            f"{path} and {other} would both be {name} in the job's folder; rename yours. An installed Stride "
            "(pip install . here and on the nodes) sends no code of its own"
        )


def _add_named(files: dict[str, Path], key: str, named: Path, here: Path) -> None:
    """Add a file or folder that the config names, whatever the rules for the rest."""
    place = Path(os.path.normpath(here / named))
    if not place.is_relative_to(here):
        raise SubmitError(
            f"{key} names {named}, outside the current folder {here}, which the job gets; give an absolute "
            "path that the nodes can read, or run this from a folder above both"
        )
    inside = place.relative_to(here)
    if place.is_file():
        _add(files, inside.as_posix(), place)
        return
    for folder, _, names in os.walk(place):
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                _add(files, (inside / path.relative_to(place)).as_posix(), path)


def _named_paths(config: Config) -> Iterator[tuple[str, Path]]:
    """The files and folders that values of the config name, with their keys."""
    for key, text in _texts(config.model_dump(mode="json"), ""):
        for name in dict.fromkeys((text, text.partition(":")[0])):  # a folder may have :split after it
            if name not in ("", ".", "..") and _exists(name):
                yield key, Path(name)
                break


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if "\n" not in value and "\0" not in value:
            yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _NO_PATHS:
                yield from _texts(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # longer than a path may be
        return False


def _walk(
    root: Path, ignored: Sequence[str], left_out: list[str], never: Sequence[str] = _NEVER
) -> Iterator[tuple[str, Path]]:
    """Files below a folder by their path in it; what is left out is added to a list."""
    count = 0
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        kept = []
        for name in sorted(subfolders):
            inner = (here / name).relative_to(root)
            if _matches(inner, never) or _matches(inner, ignored) or _is_run(here / name):
                if name != "__pycache__":
                    left_out.append(inner.as_posix())
            elif (here / name).is_symlink():
                left_out.append(inner.as_posix())
            else:
                kept.append(name)
        subfolders[:] = kept
        for name in sorted(names):
            inner = (here / name).relative_to(root)
            if _matches(inner, never) or _matches(inner, ignored):
                left_out.append(inner.as_posix())
            elif (here / name).is_file():
                yield inner.as_posix(), here / name
                count += 1
                if count > _MAX_FILES:
                    raise SubmitError(
                        f"{root} has more than {_MAX_FILES} files; run this from a folder that holds what the "
                        "job needs, or name the rest in .rayignore"
                    )


def _is_run(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _OF_A_RUN)


def _ignored(root: Path) -> list[str]:
    files = [root / name for name in (".gitignore", ".rayignore")]
    lines = [line.strip() for file in files if file.is_file() for line in file.read_text().splitlines()]
    return [line.rstrip("/") for line in lines if line and not line.startswith("#")]


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    """Whether the last pattern that fits a path below the folder leaves it out.

    A pattern is a name at any depth, a path from the top if it has a slash, or `!` and one of what stays in.
    """
    out = False
    for pattern in patterns:
        rule = pattern.removeprefix("!")
        if fnmatch(path.as_posix(), rule.lstrip("/")) if "/" in rule else fnmatch(path.name, rule):
            out = rule == pattern
    return out


def _largest(sizes: Counter[str]) -> str:
    return ", ".join(f"{name} {_mib(size)}" for name, size in sizes.most_common(3))


def _few(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
