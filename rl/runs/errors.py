"""The errors for a run folder that cannot be used."""

from __future__ import annotations

from typing import ClassVar


class RunFolderError(ValueError):
    """A run folder that cannot be used."""

    exit_code: ClassVar[int] = 2


class OtherFormatError(RunFolderError):
    """A file of a run has a format that this version does not read."""


class DamagedFileError(RunFolderError):
    """A file of a run cannot be read; `--resume` goes on without it."""
