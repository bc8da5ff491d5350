"""Where the steps of a sample begin, in tokens: from a completion and its trace to prefixes of its tokens.

A prefix that ends at boundary i continues to step i without any of its text, so a policy that continues it is
free in what it writes there. The rule, which holds for any tokenizer: the prefix is the longest text that some
first tokens write and that has no character of step i, in the fewest tokens; after the last step, none of what
follows it and is not blank. Line breaks between two steps therefore belong to the prefix, unless the token that
holds them also holds the start of the next step. If that token holds the end of the earlier step too, this step
is not whole before the boundary, which is told (`StepBoundary.whole`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from envs import Trace
from rollout.encoder import Encoder


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBoundary:
    """A place between two steps of a completion.

    Attributes:
        tokens: Number of the completion's first tokens before it.
        whole: Whether the text of the step before it is whole in them.
    """

    tokens: int
    whole: bool


def step_boundaries(encoder: Encoder, ids: Sequence[int], trace: Trace) -> tuple[StepBoundary, ...]:
    r"""The boundaries of a completion: before each of its steps, then after the last one.

    Args:
        encoder: Decodes the tokens; its prefill stands before them in the text.
        ids: The sampled tokens, with or without the stop token.
        trace: What was read of `encoder.decode(ids)`.

    Returns:
        One more than the trace has steps; without the last where the text ends with the last step.

    Example: tokens `1+`, `1=2\n`, `2+`, `2=4\n4`, of steps "1+1=2" and "2+2=4" and the line "4": boundaries
    after 0, 2 and 3 tokens; at the last one, "2+2=4" is not whole.
    """
    text = encoder.decode(ids)
    kept = len(ids) - (bool(ids) and ids[-1] in encoder.stop_ids)
    first = len(encoder.prompts.prefill)
    reached = _reached(encoder, ids[:kept], text, first)
    spans = [step.span for step in trace.steps]
    starts = [start for start, _ in spans]
    after = spans[-1][1] if spans else 0
    blanks = len(text[after:]) - len(text[after:].lstrip())
    if spans and after + blanks < len(text):
        starts.append(after + blanks)
    boundaries, tokens = [], 0
    for number, start in enumerate(starts):
        if start > first:  # `reached` rises with the tokens, but not with each: one may be half a character
            most = bisect_right(range(kept + 1), start, lo=tokens, key=reached) - 1
            tokens = bisect_left(range(most), reached(most), lo=tokens, key=reached)
        whole = number == 0 or reached(tokens) >= spans[number - 1][1]
        boundaries.append(StepBoundary(tokens=tokens, whole=whole))
    return tuple(boundaries)


def step_spans(encoder: Encoder, ids: Sequence[int], trace: Trace) -> tuple[tuple[int, int], ...]:
    r"""The tokens of each step: the first one, and the one after the last.

    A token belongs to one step at most. That with a line break belongs to the step before it, unless it holds
    the start of the next one. What follows the last step belongs to none.

    Args:
        encoder: Decodes the tokens.
        ids: The sampled tokens, with or without the stop token.
        trace: What was read of `encoder.decode(ids)`.

    Example: tokens `1+`, `1=2\n`, `2+`, `2=4`, `\n4`, of steps "1+1=2" and "2+2=4": (0, 2) and (2, 4).
    """
    starts = [boundary.tokens for boundary in step_boundaries(encoder, ids, trace)]
    if len(starts) == len(trace.steps):  # the text ends with the last step
        starts.append(len(ids) - (bool(ids) and ids[-1] in encoder.stop_ids))
    return tuple(pairwise(starts)) if trace.steps else ()


def _reached(encoder: Encoder, ids: Sequence[int], text: str, first: int) -> Callable[[int], int]:
    """A function for the characters of the text that so many first tokens write; of half a character, none."""
    pieces = encoder.pieces(ids)
    if "".join(pieces) == text[first:]:
        return list(accumulate(map(len, pieces), initial=first)).__getitem__

    def reached(tokens: int) -> int:
        part = encoder.show(ids[:tokens])
        if text.startswith(part, first):
            return first + len(part)
        return first + next(
            (at for at, char in enumerate(part) if not text.startswith(char, first + at)), len(part)
        )

    return reached
