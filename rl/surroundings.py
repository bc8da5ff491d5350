"""What a run needs of the machine around it: open files, temporary files, shared memory, a home for caches.

Checked at the start, without torch: what would end the run hours later is refused then, and the rest is said.
"""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path
from typing import Final

from configs import Config, ConfigError

LEAST_FILES: Final = 128
"""Open files without which a run fails: modules, data, pipes of processes, logs."""
_ENOUGH_FILES: Final = 4096
_WANTED_FILES: Final = 65536
_SHARED_MEMORY: Final = Path("/dev/shm")


def check_surroundings(config: Config) -> list[str]:
    """Raise the limit of open files as far as it goes, and check the rest.

    Args:
        config: The run.

    Returns:
        A warning, with the remedy, for each thing that may hurt the run.

    Raises:
        ConfigError: One thing is missing without which no run ends well.
    """
    actors = config.rollout.backend == "ray"
    warnings = [_open_files(actors=actors)]
    _check_temporary_folder()
    if actors and not _SHARED_MEMORY.is_dir():
        warnings.append(
            f"warning: there is no {_SHARED_MEMORY}, so Ray keeps weights for actors in files, which is "
            "slower; in "
            "a container, start it with --shm-size"
        )
    if (home := _unwritable_home()) is not None:
        warnings.append(
            f"warning: the home folder {home} cannot be written, so libraries keep no caches there; set "
            "HOME, or "
            "HF_HOME for models and data of the hub, to a folder that can be"
        )
    return [warning for warning in warnings if warning]


def _open_files(*, actors: bool) -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY or soft >= (_ENOUGH_FILES if actors else LEAST_FILES):
        return ""
    if soft < LEAST_FILES:
        raise ConfigError(
            f"at most {soft} files may be open (ulimit -Hn), and a run needs {LEAST_FILES} or more; raise "
            "the limit, "
            f"for example ulimit -n {_WANTED_FILES}"
        )
    return (
        f"warning: at most {soft} files may be open (ulimit -Hn), and Ray opens many; raise the limit, for "
        "example "
        f"ulimit -n {_WANTED_FILES}"
    )


def _check_temporary_folder() -> None:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"0" * 4096)
    except OSError as error:
        where = tempfile.tempdir or os.environ.get("TMPDIR", "/tmp")
        raise ConfigError(
            f"no temporary file can be written in {where}: {error.strerror or error}; make room there, or "
            "set TMPDIR "
            "to another folder"
        ) from None


def _unwritable_home() -> str | None:
    """The home folder, if nothing can be written there; None where it can, or where HF_HOME is elsewhere."""
    home = os.environ.get("HF_HOME") or os.environ.get("HOME") or "/"
    try:
        Path(home).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return None
    except OSError:
        return home
