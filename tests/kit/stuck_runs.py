"""Runs that get stuck where a signal finds them: `prepare` functions of `ForkServer.train`.

Each says so on a line of its own, once it is stuck.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

STUCK = "stuck"


def in_a_backward_pass() -> None:
    """In the sixth one of GRPO of `small_run`: C code that takes minutes, without a bytecode in between."""
    from accelerate import Accelerator

    calls, backward = iter(range(1, 1000)), Accelerator.backward

    def stuck(*args: Any, **kwargs: Any) -> None:
        backward(*args, **kwargs)
        if next(calls) == 12 + 6:
            print(STUCK, flush=True)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

    Accelerator.backward = stuck


def in_a_save() -> None:
    """In the first one of GRPO."""
    from rl.grpo.trainer import StrideTrainer

    def slow(*args: Any) -> None:
        print(STUCK, flush=True)
        time.sleep(600)

    StrideTrainer._save_optimizer_and_scheduler = slow  # type: ignore[method-assign,assignment]
