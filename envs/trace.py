"""Reading and writing reasoning traces.

In: the text a model wrote. Out: a `Trace` with its steps, its answer and its status. Each line is a step, a
line that starts with `<backtrack>` goes back, and one closing line states the answer::

    west. right, around
    <backtrack> 0
    east. around
    west
    Thus, the answer is west.

`<backtrack> j` restores the state after step j of the current path (0 is the start); a bare
`<backtrack>` takes back the last step. `parse_trace` never raises on any text and takes time linear in
its length; `parse_trace(render_trace(lines, answer))` returns the same lines and answer. It leaves the verdicts
unset; `Env.check` in `base.py` fills them in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from envs.grading import Grade

CLOSING = "Thus, the answer is "
BACKTRACK = "<backtrack>"
_BACKTRACK_LINE = re.compile(rf"{re.escape(BACKTRACK)}(?: ([0-9]{{1,4}}))?")


class StepKind(StrEnum):
    """The effect of a line on the path."""

    FORWARD = "forward"
    BACKTRACK = "backtrack"
    MARKER = "marker"
    """A sentence of free text that announces a backtrack (`markers.py`); it takes nothing back."""


class Verdict(StrEnum):
    """The environment's judgement of one step."""

    UNCHECKED = "unchecked"
    VALID = "valid"
    INVALID = "invalid"


class Status(StrEnum):
    """How the text ended: with exactly one closing line, at the length limit, or in any other way."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"


class AnswerForm(StrEnum):
    """How a text states its answer. All but the first are for free text (`answers.py`)."""

    CLOSING_LINE = "closing_line"
    """The task's own: exactly one closing line, which ends the text, as demonstrations write it."""
    SENTENCE = "sentence"
    """"Therefore, the answer is 72.", with or without full stop or bold."""
    LABEL = "label"
    """`Answer: 72`, `**Final Answer:** 72`, or a heading with the answer below it."""
    HASHES = "hashes"
    """`#### 72`"""
    TAGS = "tags"
    """`<answer>72</answer>`"""
    BOX = "box"
    r"""`\boxed{72}`"""
    BARE = "bare"
    """Nothing but the answer."""
    LAST_NUMBER = "last_number"
    """The last number of a text that states no answer."""


class Step(NamedTuple):
    """One line of reasoning. A named tuple for speed: a trace can have thousands, each built twice.

    Attributes:
        text: The line, without its newline.
        kind: Forward, backtrack or marker.
        span: Start and end offset of the line in the completion text, in characters.
        target: For a backtrack, the number of steps of the path it keeps; None means all but the last.
        verdict: Set by the environment.
        reason: Why the step is invalid, in a few words; empty if it is not.
        undone: True for a forward step that a later backtrack took back.
    """

    text: str
    kind: StepKind
    span: tuple[int, int]
    target: int | None = None
    verdict: Verdict = Verdict.UNCHECKED
    reason: str = ""
    undone: bool = False


class Backtrack(NamedTuple):
    """The environment's judgement of one valid backtrack.

    Attributes:
        step: Its position in the trace's steps.
        num_undone: Number of forward lines of the path that it took back.
        real: Whether the next step that changes the state starts another branch: it leads neither to the first
            state of the branch just left nor to a dead end left earlier from the same state. False if no such
            step follows.
        needed: Whether the branch it left could not have led to the end; an invalid step is such a branch. If
            it took back only lines that change nothing, whether the end was already out of reach. None if the
            environment cannot tell.
    """

    step: int
    num_undone: int
    real: bool
    needed: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    r"""A parsed completion.

    Example::

        parse_trace("1. 7 + 5 + 0 = 12, write 2, carry 1\nThus, the answer is 12.")
        -> Trace(steps=(Step(text="1. 7 + ...", kind=FORWARD, span=(0, 35)),), answer="12",
                 status=COMPLETE)

    Attributes:
        steps: Every line before the closing line, in order.
        answer: The answer of the closing line, or None if there is not exactly one.
        status: How the text ended.
        grade: The grade of the answer, `MALFORMED` if the text is not complete; None until checked.
        finished: Whether the valid steps are a complete solution; None until checked, and where steps are not.
        backtracks: The judgement of each valid backtrack, in order.
        num_tokens: Number of tokens of the completion with its stop token; 0 for a text that was not sampled.
        form: How the answer is stated; None if none is.
        why_malformed: Why no answer was taken from a text that may state some, in a few words; else empty.
    """

    steps: tuple[Step, ...]
    answer: str | None
    status: Status
    grade: Grade | None = None
    finished: bool | None = None
    backtracks: tuple[Backtrack, ...] = ()
    num_tokens: int = 0
    form: AnswerForm | None = None
    why_malformed: str = ""

    @property
    def in_strict_form(self) -> bool:
        """Whether it is complete and states its answer in the task's own form, the closing line."""
        return self.status is Status.COMPLETE and self.form in (None, AnswerForm.CLOSING_LINE)

    @property
    def strictly_correct(self) -> bool:
        """Whether it is correct and states its answer in the task's own form."""
        return bool(self.correct) and self.in_strict_form

    @property
    def correct(self) -> bool | None:
        """Whether the text is complete and its answer is right; None until checked."""
        return None if self.grade is None else self.grade is Grade.CORRECT

    @property
    def steps_checked(self) -> bool:
        """Whether the steps were judged; False for a task that judges the answer alone."""
        return self.finished is not None

    @property
    def num_steps(self) -> int:
        """Number of steps written, including undone ones but not backtrack lines."""
        return sum(step.kind is not StepKind.BACKTRACK for step in self.steps)

    @property
    def num_backtracks(self) -> int:
        """Number of backtrack lines, real or not, and of markers in free text."""
        return sum(step.kind is not StepKind.FORWARD for step in self.steps)

    @property
    def real_backtracks(self) -> int:
        """Number of backtracks that returned to an earlier state and then took another branch."""
        return sum(backtrack.real for backtrack in self.backtracks)

    @property
    def fake_backtracks(self) -> int:
        """Number of other backtrack lines: the same branch follows, none follows, or the target is invalid.

        0 where steps are not checked, which leaves the kind of a backtrack unknown.
        """
        if not self.steps_checked:
            return 0
        return sum(step.kind is StepKind.BACKTRACK for step in self.steps) - self.real_backtracks

    @property
    def needless_backtracks(self) -> int:
        """Number of backtracks that left a branch from which the end could still be reached."""
        return sum(backtrack.needed is False for backtrack in self.backtracks)

    @property
    def num_invalid(self) -> int:
        """Number of invalid steps, including undone ones."""
        return sum(step.verdict is Verdict.INVALID for step in self.steps)

    @property
    def num_wasted(self) -> int:
        """Number of forward steps that a later backtrack took back."""
        return sum(step.undone for step in self.steps)

    @property
    def is_clean(self) -> bool:
        """Whether every line is valid or was taken back."""
        return not any(step.verdict is Verdict.INVALID and not step.undone for step in self.steps)

    @property
    def verified(self) -> bool:
        """Whether the answer is right, the solution complete, and every step valid that was not taken back.

        A step that claims nothing, such as an equation that sets up a letter, is unchecked: it is neither.
        False where steps are not checked; `passed` counts a right answer there.
        """
        return bool(self.correct and self.finished) and self.is_clean

    @property
    def passed(self) -> bool:
        """Whether it passes every check of its task: verified or, where steps are not checked, correct."""
        return self.verified if self.steps_checked else bool(self.correct)


def render_trace(lines: Sequence[str], answer: str, *, gap: str = "\n") -> str:
    """Join steps and the closing line, with `gap` between them, into the text a model learns to write."""
    return gap.join([*lines, f"{CLOSING}{answer}."])


def parse_trace(text: str, *, truncated: bool = False) -> Trace:
    """Split a completion into steps and answer.

    Args:
        text: The completion, without prompt and end-of-text token.
        truncated: Whether sampling stopped at the length limit.

    Returns:
        A trace with unchecked steps. `status` is COMPLETE only if exactly one closing line ends the text. Empty
        lines are ignored.
    """
    steps: list[Step] = []
    answer: str | None = None
    closings, trailing, start = 0, False, 0
    for line in text.split("\n"):
        span = (start, start + len(line))
        start = span[1] + 1
        if not line.strip():
            continue
        if line.startswith(CLOSING) and line.endswith("."):
            closings += 1
            answer = line[len(CLOSING) : -1]
        elif closings:
            trailing = True
        else:
            steps.append(_parse_step(line, span))
    if truncated:
        status = Status.TRUNCATED
    elif closings == 1 and not trailing:
        status = Status.COMPLETE
    else:
        status = Status.MALFORMED
    if closings != 1:
        return Trace(steps=tuple(steps), answer=None, status=status)
    return Trace(steps=tuple(steps), answer=answer, status=status, form=AnswerForm.CLOSING_LINE)


def parse_steps(text: str) -> tuple[Step, ...]:
    """Every line that is not empty as a step, a closing line included: the text of a thought."""
    steps: list[Step] = []
    start = 0
    for line in text.split("\n"):
        span = (start, start + len(line))
        start = span[1] + 1
        if line.strip():
            steps.append(_parse_step(line, span))
    return tuple(steps)


def _parse_step(line: str, span: tuple[int, int]) -> Step:
    match = _BACKTRACK_LINE.fullmatch(line) if line.startswith(BACKTRACK) else None
    if match is None:
        return Step(line, StepKind.FORWARD, span)
    target = None if match[1] is None else int(match[1])
    return Step(text=line, kind=StepKind.BACKTRACK, span=span, target=target)
