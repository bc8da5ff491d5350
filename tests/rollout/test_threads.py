"""Threads that wait sleep, unless the user has chosen otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.threads import let_threads_sleep, wait_policy

ROOT = Path(__file__).resolve().parents[2]


def test_the_default_is_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "unset after the test")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_the_choice_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert wait_policy() == {"OMP_WAIT_POLICY": "ACTIVE"}


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
    print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "PASSIVE False\n"
