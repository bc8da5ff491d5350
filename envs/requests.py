"""Sentences with which prompts ask for a number of steps and for the form of the answer."""

from __future__ import annotations

from envs.trace import CLOSING

ANSWER_CUE = "Answer:\n"
"""What a prompt without a chat template ends with."""


def ask_for_steps(request: str, budget: int) -> str:
    """A task's step request for a budget: `{steps}` becomes "1 step", "2 steps" and so on."""
    return request.replace("{steps}", f"{budget} step{'' if budget == 1 else 's'}")


def ask_for_answer(what: str) -> str:
    """The request for the closing line; `what` says what the answer is."""
    return f'End with the line "{CLOSING}X.", where X is {what}.'
