"""No text makes the reader of equations raise, and its time is linear."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.judged_text import MOST_GROWTH


@pytest.mark.slow
def test_no_text_raises_and_time_is_linear() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.kit.arithmetic_hostile", "1500"]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=250, check=True).stdout
    found = json.loads(output)
    assert found["failures"] == []
    assert found["texts"] > 1500
    assert found["growth"] < MOST_GROWTH
