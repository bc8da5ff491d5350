"""The manifest of a folder: the size and the SHA-256 of each of its files.

Neither PyTorch nor safetensors notices a flipped bit: the file loads, with another weight. A folder that a
run goes on from, or that is loaded as a model, therefore says what its files were when they were written.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

MANIFEST = "stride_manifest.json"
_FORMAT = 1
_NOT_LISTED = {MANIFEST, "README.md"}  # a model card may be edited


def write_manifest(folder: Path) -> None:
    """Write the manifest of the files that a folder holds now."""
    files = {name: {"sha256": _sha256(folder / name), "size": size} for name, size in _sizes(folder).items()}
    (folder / MANIFEST).write_text(json.dumps({"format": _FORMAT, "files": files}, indent=1))


def has_manifest(folder: Path) -> bool:
    """Whether a folder has a manifest, be it damaged."""
    return (folder / MANIFEST).exists()


def find_damage(folder: Path, *, hashes: bool = True) -> str:
    """What is wrong with a folder that has a manifest, as `optimizer.pt is missing`; empty if nothing is.

    Args:
        folder: The folder. Files that its manifest does not list are not read.
        hashes: Read every file, at about a GB per second; False: compare sizes alone.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != _FORMAT:
            return f"{MANIFEST} has format {manifest['format']!r}; this version reads {_FORMAT}"
        listed = {
            str(name): (int(file["size"]), str(file["sha256"])) for name, file in manifest["files"].items()
        }
    except OSError as error:
        return f"{MANIFEST} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is damaged"
    try:
        found = _sizes(folder)
        for name, (size, _) in listed.items():
            if name not in found:
                return f"{name} is missing"
            if found[name] != size:
                return f"{name} has {found[name]:,} bytes, not {size:,}"
        for name, (_, expected) in listed.items() if hashes else ():
            if (sha256 := _sha256(folder / name)) != expected:
                return f"{name} has SHA-256 {sha256[:12]}..., not {expected[:12]}..."
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read: {error.strerror}"
    return ""


def fingerprint(folder: Path) -> str:
    """One SHA-256 for the files of a folder, by its manifest where it has one."""
    if has_manifest(folder):
        return _sha256(folder / MANIFEST)
    files = {name: _sha256(folder / name) for name in _sizes(folder)}
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def folder_bytes(folder: Path) -> int:
    """The bytes in a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sizes(folder: Path) -> dict[str, int]:
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {
        name: path.stat().st_size for name, path in paths.items() if path.is_file() and name not in _NOT_LISTED
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
