"""Warnings that vLLM and its libraries raise about themselves are allowed here; all others are errors."""

from __future__ import annotations

import pytest

THEIRS = (
    "ignore:TRL currently supports vLLM versions:UserWarning",
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning",
    "ignore:`torch.distributed.reduce_op` is deprecated:FutureWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in THEIRS:
        config.addinivalue_line("filterwarnings", line)
