"""What is said of a lost actor, and how many may be lost."""

from __future__ import annotations

import time

import pytest
import torch
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayError

from rollout.out_of_memory import is_out_of_memory
from rollout.pools.losses import LostError, RestartLimit, RolloutError, died


def test_a_storm_ends_the_run_and_losses_far_apart_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limit = RestartLimit(2, 60.0)
    for _ in range(20):  # two a minute, for ten minutes
        limit.count(LostError("died"))
        now[0] += 30.1
    assert limit.total == 20
    assert limit.count(LostError("died")) == "2 of at most 2 within 60 s"
    now[0] += 1
    with pytest.raises(
        RolloutError, match=r"3 rollout actors .*restart_window_s \(60 s\), more than .*\(2\).*; buy more$"
    ):
        limit.count(LostError("ran out of memory", "buy more"))
    assert limit.total == 21  # the one that ended the run was not replaced


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_errors_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError(str(error)))


def test_torchs_own_memory_errors_are_known() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    ("error", "what", "memory"),
    [
        (OutOfMemoryError("Task was killed due to the node running low on memory."), "low on memory", True),
        (ActorUnavailableError("The node has died", None), "was lost with its node", False),
        (RayError("Worker exit detail: segfault"), "died: RayError: segfault", False),
    ],
)
def test_a_loss_says_what_happened(error: RayError, what: str, memory: bool) -> None:
    loss = died(error)
    assert what in str(loss)
    assert ("rollout.max_rows" in loss.at_the_end()) is memory
