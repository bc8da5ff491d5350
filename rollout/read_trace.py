"""From a completion to its trace, thoughts included: whoever reads completions calls this."""

from __future__ import annotations

from typing import Any

from envs import Env, Trace
from rollout.encoder import Encoder


def read_trace(env: Env[Any], encoder: Encoder, text: str, *, truncated: bool) -> Trace:
    """The unchecked trace of a decoded completion.

    Args:
        env: The task.
        encoder: Knows the marks of a thought, and whether prompts open one.
        text: What `encoder.decode` returned.
        truncated: Whether sampling stopped at the length limit.
    """
    if encoder.thinking is None:
        return env.parse(text, truncated=truncated)
    return encoder.thinking.parse(env, text, opened=bool(encoder.given_thought), truncated=truncated)
