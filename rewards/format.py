"""Rewards on the form of a text."""

from __future__ import annotations

from envs import Problem, Status, Trace
from rewards.declare import reward


@reward(when_right=(1, 1))
def format(problem: Problem, trace: Trace) -> float:
    """1 where the text ends with exactly one closing line, else 0. A right answer always has one.

    In free text any form that `answer_forms` takes counts as one.

    Example: two closing lines: 0.
    """
    return float(trace.status is Status.COMPLETE)


@reward()
def strict_form(problem: Problem, trace: Trace) -> float:
    """1 where the text is complete and states its answer in the task's own form, the closing line, else 0.

    In free text other forms of an answer are taken too (`answer_forms`); this pays for the one that
    demonstrations teach. In other tasks it is `format`.

    Example: "The answer is 5." where the closing line is "Thus, the answer is 5.": 0.
    """
    return float(trace.in_strict_form)


@reward()
def repetition(problem: Problem, trace: Trace, *, words: int = 20) -> float:
    """Share of the text's n-grams, of `words` words each, that have occurred before.

    The closing line counts as its answer alone.

    The repetition penalty of the cosine reward's paper (arXiv 2502.03373, appendix C.2).

    Range: [0, 1). Example: "a b a b a b" with 2 words: 3 of the 5 pairs are repeats: 0.6.
    """
    text = [word for step in trace.steps for word in step.text.split()] + (trace.answer or "").split()
    runs = [tuple(text[start : start + words]) for start in range(len(text) - words + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0
