"""Rewards on the form of a text."""

from __future__ import annotations

from envs import Problem, Status, Trace
from rewards.declare import reward


@reward(when_right=(1, 1))
def format(problem: Problem, trace: Trace) -> float:
    """1 where exactly one closing line ends the text, else 0."""
    return float(trace.status is Status.COMPLETE)


@reward()
def repetition(problem: Problem, trace: Trace, *, words: int = 20) -> float:
    """Share of the text's runs of so many words that were there before; the closing line counts by its answer.

    The repetition penalty of the cosine reward's paper (arXiv 2502.03373, appendix C.2).

    Example: "a b a b a b", runs of 2: a b, b a, a b, b a, a b: 3 of 5 were there before.
    """
    text = [word for step in trace.steps for word in step.text.split()] + (trace.answer or "").split()
    runs = [tuple(text[start : start + words]) for start in range(len(text) - words + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0
