r"""Tasks whose steps are ordinary text: steps are counted, but not checked.

In: a completion. Out: a trace whose steps are paragraphs, lines or sentences (`segments.py`). The answer is the
one of the closing line or, if there is none, of the last ``\boxed{}``. A trace is correct or not, but never
verified, and whether a backtrack is real or needed is unknown. Sentences that announce a backtrack are marked
(`markers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from envs.arithmetic_steps import ArithmeticSteps
from envs.base import Env
from envs.markers import mark
from envs.maths.grader import find_answer
from envs.problem import Problem
from envs.segments import GAPS, Segmentation, find_blocks, segment
from envs.trace import CLOSING, Status, Step, StepKind, Trace, parse_steps, parse_trace, render_trace


class FreeTextSettings(BaseModel):
    """Settings of all tasks whose steps are free text.

    Attributes:
        steps: What counts as one step: `paragraphs`, `lines` or `sentences`. The default suits pretrained
            models, which write paragraphs with formulas over several lines; `lines` counts every line of a
            formula.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Segmentation = "paragraphs"


class FreeTextEnv(Env[Any]):
    """A task that judges only the answer, unless it has a checker of equations.

    Without one, its state is the number of steps and the last step.

    Attributes:
        checker: Finds and judges equations, which are the steps then; None where steps are text.
    """

    checks_steps = False
    checker: ArithmeticSteps | None = None
    format_request: ClassVar[str] = "Please reason step by step, and put your final answer within \\boxed{}."

    def check_equations(self, max_merge: int) -> None:
        """Make every equation a step, and judge it."""
        self.checker = ArithmeticSteps(max_merge)
        self.checks_steps = True

    def start(self, problem: Problem) -> Any:
        """The state with no step yet."""
        return (0, "") if self.checker is None else self.checker.start(problem)

    def advance(self, state: Any, line: str) -> Any:
        """Judge the equations of a step; without a checker, accept any step and count it."""
        return (state[0] + 1, line) if self.checker is None else self.checker.advance(state, line)

    def solvable(self, state: Any) -> bool | None:
        """Always None: which idea leads to the end is unknown."""
        return None

    def finished(self, state: Any) -> bool:
        """Whether the last equation states the right answer; always True where nothing is checked."""
        return True if self.checker is None else self.checker.finished(state)

    def demonstrate(self, lines: Sequence[str], answer: str) -> str:
        """The steps, as far apart as `steps` counts them, and the closing line."""
        return render_trace(lines, answer, gap=GAPS[self.settings.steps])

    def count_steps(self, lines: Sequence[str]) -> int:
        """Number of steps that the grammar finds in the lines."""
        steps = self.read_steps(GAPS[self.settings.steps].join(lines))
        return sum(step.kind is not StepKind.BACKTRACK for step in steps)

    def read_steps(self, text: str) -> tuple[Step, ...]:
        """The steps of the whole text, with markers."""
        return self._segment(text, parse_steps(text))

    def _segment(self, text: str, lines: Sequence[Step]) -> tuple[Step, ...]:
        blocks = find_blocks(text)
        if self.checker is None:
            return mark(segment(text, lines, blocks, self.settings.steps), blocks)
        sentences = mark(segment(text, lines, blocks, "sentences"), blocks)
        others = [step for step in sentences if step.kind is not StepKind.FORWARD]
        return self.checker.read_steps(text, others)

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        r"""Find steps, markers and the answer; without a closing line that is the last ``\boxed{}``."""
        trace = parse_trace(text, truncated=truncated)
        trace = replace(trace, steps=self._segment(text, trace.steps))
        if trace.status is Status.MALFORMED and CLOSING not in text:
            answer = find_answer(text)
            if answer is not None:
                return replace(trace, answer=answer, status=Status.COMPLETE)
        return trace
