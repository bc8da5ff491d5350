"""The directional problem that rewards and figures are worked out on, and completions of it.

Its full trace has three lines: west, north, south.
"""

from __future__ import annotations

from dataclasses import replace

from envs import Trace
from tests.kit.problems import check_text, make_problem

TURNS = make_problem(
    "directional", "You face north. Actions: left, right, around", "south", num_full_steps=3, difficulty=3
)
FULL = "west. right, around\nnorth. around\nsouth\n"
SKIP = "north. around\nsouth\n"
LOOP = "west. right, around\n<backtrack>\n"  # before FULL: a fake backtrack, since the same line follows
DETOUR = "west. right, around\n<backtrack> 0\n"  # before SKIP: a real backtrack
END = "Thus, the answer is south."
WRONG = "Thus, the answer is west."


def completion(text: str, num_tokens: int, *, truncated: bool = False) -> Trace:
    """The checked trace of a completion of `num_tokens` tokens."""
    return replace(check_text(TURNS, text, truncated=truncated), num_tokens=num_tokens)


def right(num_tokens: int, text: str = FULL + END) -> Trace:
    """A completion with the right answer; by default the full trace."""
    return completion(text, num_tokens)


def wrong(num_tokens: int) -> Trace:
    """A completion with three valid lines and a wrong answer."""
    return completion(FULL + WRONG, num_tokens)
