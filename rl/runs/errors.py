"""The error for a run folder that cannot be used."""

from __future__ import annotations

from typing import ClassVar


class RunFolderError(ValueError):
    """A run folder that cannot be used."""

    exit_code: ClassVar[int] = 2
