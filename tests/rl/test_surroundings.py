"""What a run needs of the machine is checked at its start; the rest is said with its remedy."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from configs import Config, ConfigError, check_config
from rl import surroundings
from rl.surroundings import check_surroundings

ROOT = Path(__file__).resolve().parents[2]


def config(**rollout: object) -> Config:
    terms = [{"name": "correct", "weight": 1.0}]
    return check_config({"env": {"name": "addition"}, "rewards": {"terms": terms}, "rollout": rollout})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HF_HOME", raising=False)
    return tmp_path


def test_a_usual_machine_is_as_it_should_be() -> None:
    assert check_surroundings(config()) == []


@pytest.mark.parametrize(
    ("limits", "backend", "raised_to", "says"),
    [
        ((1024, 1048576), "ray", 65536, ""),
        ((1024, resource.RLIM_INFINITY), "local", 65536, ""),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ray", None, ""),
        ((100000, 100000), "ray", None, ""),
        ((256, 512), "local", 512, ""),
        (
            (256, 1024),
            "ray",
            1024,
            "warning: at most 1024 files may be open (ulimit -Hn), and Ray opens many; raise",
        ),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(
    limits: tuple[int, int], backend: str, raised_to: int | None, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, to: set_to.append(to))
    found = check_surroundings(config(backend=backend))
    assert [line.startswith(says) for line in found] == ([True] if says else [])
    assert set_to == ([(raised_to, limits[1])] if raised_to else [])


def start(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`check_surroundings` in a shell of its own."""
    code = (
        "from configs import load_config\nfrom rl.surroundings import check_surroundings\n"
        "from scripts.exits import user_errors\n"
        "with user_errors():\n    print(*check_surroundings(load_config('quickstart')), sep='\\n')"
    )
    return subprocess.run(
        ["bash", "-c", f'{command} exec {sys.executable} -c "$CODE"'],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "CODE": code, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_too_few_open_files_are_refused(tmp_path: Path) -> None:
    done = start("ulimit -n 64;", HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: at most 64 files may be open (ulimit -Hn), and a run needs 128 or more; raise the limit, "
        "for example "
        "ulimit -n 65536\n"
    )


@pytest.mark.parametrize("variables", [{"HOME": "/proc/none"}, {"HOME": "/tmp", "HF_HOME": "/proc/none"}])
def test_a_home_that_cannot_be_written(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (line,) = check_surroundings(config())
    assert line.startswith(
        "warning: the home folder /proc/none cannot be written, so libraries keep no caches there;"
    )


def test_no_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    with pytest.raises(ConfigError) as refused:
        check_surroundings(config())
    assert str(refused.value) == (
        "no temporary file can be written in /proc/none: No such file or directory; make room there, or set "
        "TMPDIR to "
        "another folder"
    )


def test_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_SHARED_MEMORY", tmp_path / "shm")
    assert check_surroundings(config()) == []
    (line,) = check_surroundings(config(backend="ray"))
    assert line.startswith(f"warning: there is no {tmp_path / 'shm'}, so Ray keeps weights for actors in files")
