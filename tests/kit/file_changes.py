"""Changes of files, seen before they happen: what Python's audit events say of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Where an event's paths stand among its arguments, and the folder (a descriptor) that each is relative to.
_EVENTS: dict[str, Sequence[tuple[int, int | None]]] = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.truncate": ((0, None),),
}


def changed_paths(event: str, arguments: Sequence[Any]) -> list[str]:
    """The paths that an audit event is about to change; none if it changes nothing."""
    if event == "open":
        flags = arguments[2]
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        places: Sequence[tuple[int, int | None]] = ((0, None),) if writes else ()
    else:
        places = _EVENTS.get(event, ())
    found = []
    for at, folder_at in places:
        if isinstance(arguments[at], str | bytes | os.PathLike):
            folder = -1 if folder_at is None else arguments[folder_at]
            path = Path(os.fsdecode(arguments[at]))
            found.append(str(path if folder < 0 else Path(f"/proc/self/fd/{folder}").readlink() / path))
    return found
