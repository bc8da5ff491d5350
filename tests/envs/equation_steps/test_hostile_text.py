"""No text makes the reader of equations raise; its time is linear, and the worker's is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.judged_text import MOST_GROWTH


@pytest.mark.slow
def test_no_text_raises_and_time_is_bounded() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.kit.equation_hostile", "300"]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=250, check=True).stdout
    found = json.loads(output)
    assert found["failures"] == []
    assert found["growth"] < MOST_GROWTH
    assert found["longest_s"] < 60
