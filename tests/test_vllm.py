"""The tests of the engine on vLLM, run in the environment where vLLM is.

They are one test of the suite, so that the suite shares its processes out among them and all others; run beside
it they would slow down tests with time limits, run before it they would leave a core idle.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".venv-vllm"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not (PLACE / ".installed").exists(), reason="vLLM is not installed: make install-vllm")
def test_the_engine_on_vllm() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [str(PLACE / "bin" / "python"), "-m", "pytest", "tests/vllm", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
