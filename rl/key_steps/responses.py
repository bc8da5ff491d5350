"""Responses: completions as token ids, each token with the line that it belongs to.

In: lines that the environment writes, or a completion that was sampled. Out: a `Response` with its checked
trace. Both are tokenized by the encoder of the run, so equal texts have equal tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs import Env, Problem, Trace
from rollout.encoder import Encoder
from rollout.types import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    r"""A completion and its lines.

    Example: of "45 - 39 = 6\n6 + 2 = 8\nThus, the answer is 45 - 39 + 2." the tokens of the first line and its
    newline have line 0, those of the closing line and the stop token line 2.

    Attributes:
        ids: Its T token ids, the stop token included.
        lines: For each token, the place of its line in `trace.steps`; `len(trace.steps)` for the closing line.
        trace: The checked trace.
    """

    ids: tuple[int, ...]
    lines: tuple[int, ...]
    trace: Trace

    @property
    def num_lines(self) -> int:
        """Number of lines, the closing one included."""
        return len(self.trace.steps) + 1


def write_response(
    env: Env[Any], encoder: Encoder, problem: Problem, lines: Sequence[str], answer: str
) -> Response:
    """The response of these lines and this answer, as the warm start would teach it.

    Raises:
        GraderError: The grader failed.
    """
    part = env.part_of(problem)
    text = part.demonstrate(lines, answer)
    trace = env.check(problem, part.parse(text))
    moved = encoder.taught_offset(text)
    tokens = encoder.encode_taught(text)
    ends = [end - moved for _, (_, end) in tokens]
    return _response([token for token, _ in tokens], ends, encoder.stop_ids[0], trace)


def read_response(encoder: Encoder, sample: Sample) -> Response:
    """The response that was sampled, which a stop token ended."""
    tokens = encoder.encode_sampled(sample.text)
    ends = [end for _, (_, end) in tokens]
    return _response([token for token, _ in tokens], ends, sample.completion.ids[-1], sample.trace)


def _response(ids: Sequence[int], ends: Sequence[int], stop: int, trace: Trace) -> Response:
    """Give each token the line in which its last character stands.

    Args:
        ids: The tokens without the stop token.
        ends: Where each ends in the text that `trace` was read from.
        stop: The stop token.
        trace: The checked trace.
    """
    starts = [step.span[0] for step in trace.steps]
    starts += [trace.steps[-1].span[1] + 1] if trace.steps else [0]  # of the closing line
    lines = [max(0, bisect_right(starts, end - 1) - 1) for end in ends]
    return Response(ids=(*ids, stop), lines=(*lines, len(trace.steps)), trace=trace)
