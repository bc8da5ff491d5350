"""Threads that wait sleep, unless the user has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.threads import let_threads_sleep, wait_policy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing chosen; what a test sets is gone after it."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "unset after the test")
        monkeypatch.delenv(name)


def test_the_default_is_to_spin_briefly_and_sleep() -> None:
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize(
    "chosen",
    [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "0"}, {"OMP_WAIT_POLICY": "X", "GOMP_SPINCOUNT": "7"}],
)
def test_the_choice_of_the_user_stays(chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    let_threads_sleep()
    assert wait_policy() == chosen
    assert {name: os.environ.get(name) for name in chosen} == chosen
    assert ("GOMP_SPINCOUNT" in os.environ) == ("GOMP_SPINCOUNT" in chosen)


def test_a_run_sets_it_before_torch_is_imported() -> None:
    """Torch reads it once, when it is loaded."""
    code = """
import os, sys
from configs import ConfigError, check_config
from rl.train import train
config = check_config({'env': {'name': 'nowhere'}, 'rewards': {'terms': [{'name': 'correct', 'weight': 1}]}})
try:
    train(config)
except ConfigError:
    print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "PASSIVE 1000 False\n"
