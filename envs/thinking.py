"""Completions of models that think between marks, such as `<think>` and `</think>`, before they answer.

In: a completion. Out: a `Trace` with the steps of the thought and the answer that is stated after it::

    <think>
    7 + 5 = 12            a step
    Wait, carry the 1.    a step
    </think>

    Thus, the answer is 12.

The rules, for any text:

- The thought ends at the last closing mark. Everything before it is reasoning, marks in between included, so a
  text with several thoughts is read as one.
- A thought that is open at the end of the text has no answer, whatever stands in it.
- A text without marks, from a prompt that has not opened a thought, is read as a text of a model that does not
  think.
- Where the task checks steps, lines after the thought are steps too, so that no step can be hidden there. Of
  free text they are counted only if the thought has no step: models repeat their solution after the thought.

The reasoning models DeepSeek-R1, QwQ and Qwen3 write `<think>`; R1 and QwQ find it opened by the chat template.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from envs.base import Env
from envs.trace import Status, Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Thinking:
    """The marks of a thought.

    Attributes:
        open: The mark that opens it.
        close: The mark that closes it.
    """

    open: str = "<think>"
    close: str = "</think>"

    def parse(self, env: Env[Any], text: str, *, opened: bool = False, truncated: bool = False) -> Trace:
        """Read a completion; takes time linear in its length and never raises.

        Args:
            env: The task.
            text: The completion.
            opened: Whether the prompt has opened the thought.
            truncated: Whether sampling stopped at the length limit.

        Returns:
            The trace, unchecked. Spans are those of the whole text.
        """
        last_open, last_close = text.rfind(self.open), text.rfind(self.close)
        if last_close < 0 and last_open < 0 and not opened:
            return env.parse(text, truncated=truncated)
        if last_open > last_close or last_close < 0:
            status = Status.TRUNCATED if truncated else Status.MALFORMED
            return Trace(steps=env.read_steps(self._blank(text)), answer=None, status=status)
        end = last_close + len(self.close)
        steps = env.read_steps(self._blank(text[:end]))
        found = env.parse(text[end:], truncated=truncated)
        if env.checks_steps or not steps:
            moved = [step._replace(span=(step.span[0] + end, step.span[1] + end)) for step in found.steps]
            steps = (*steps, *moved)
        return replace(found, steps=steps)

    def wrap(self, text: str) -> str:
        """A completion whose last line states the answer, with a thought around the lines before it."""
        lines, _, last = text.rpartition("\n")
        return f"{self.open}\n{lines.rstrip()}\n{self.close}\n\n{last}"

    def _blank(self, text: str) -> str:
        """The text with each mark replaced by as many newlines, which keeps all places."""
        return text.replace(self.open, "\n" * len(self.open)).replace(self.close, "\n" * len(self.close))


def check_marks(open_mark: str, close_mark: str) -> None:
    """Refuse marks that cannot be told apart.

    Raises:
        ValueError: One is blank, or a part of the other.
    """
    for mark in (open_mark, close_mark):
        if not mark.strip() or "\n" in mark:
            raise ValueError(f"{mark!r} cannot mark a thought; give a text on one line, such as '<think>'")
    if open_mark in close_mark or close_mark in open_mark:
        raise ValueError(
            f"{open_mark!r} and {close_mark!r} cannot mark a thought, as one is a part of the other"
        )
