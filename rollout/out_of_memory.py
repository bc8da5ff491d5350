"""Out of memory: how it shows in Python, and which keys of the config make an engine take less."""

from __future__ import annotations

from typing import ClassVar

import torch

ENGINE_REMEDY = (
    "lower rollout.max_rows (completions decoded at a time; unset: all of a batch) or rollout.kv_cache_gib"
)
# RuntimeErrors of torch's CPU allocator, of CUDA outside its allocator and of cuBLAS.
_SIGNS = ("can't allocate memory", "out of memory", "cublas_status_alloc_failed")


class SamplingMemoryError(RuntimeError):
    """An engine ran out of memory."""

    exit_code: ClassVar[int] = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a GPU, ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def first_line(error: BaseException) -> str:
    """Class and first line of an error, short enough for a line of a log."""
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {line[:300]}".rstrip(": ")
