"""No text makes the reader of equations raise; its time is linear, and the worker's is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.equation_hostile import LONG, SHORT


@pytest.mark.slow
def test_no_text_raises_and_time_is_bounded() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.kit.equation_hostile", "300"]
    output = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=250, check=True).stdout
    found = json.loads(output)
    assert found["failures"] == []
    # 10 times the length takes about 10 times as long; quadratic would be 100.
    assert found["growth"] < 3 * LONG / SHORT
    assert found["longest_s"] < 60
