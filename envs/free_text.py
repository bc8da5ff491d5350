r"""Tasks whose steps are ordinary text: steps are counted, and checked only where they are equations.

In: a completion. Out: a trace whose steps are claims, paragraphs, lines or sentences (`segments.py`). The
answer is stated in the closing line or in other words (`answers.py`); statements at the end are no steps. A
trace is correct or not, never verified, and whether a backtrack is real or needed is unknown. Sentences that
announce a backtrack are marked (`markers.py`). A task may check equations instead
(`arithmetic_steps/`): these are its steps then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from envs.answers import DEFAULT_FORMS, is_bare, read_stated
from envs.arithmetic_steps import ArithmeticSteps
from envs.base import Env
from envs.equation_steps import EquationSteps
from envs.markers import mark
from envs.problem import Problem
from envs.segments import GAPS, Segmentation, Span, find_blocks, read_steps, segment
from envs.statements import collapse
from envs.trace import AnswerForm, Status, Step, StepKind, Trace, parse_steps, render_trace


class FreeTextSettings(BaseModel):
    """Settings of all tasks whose steps are free text.

    Attributes:
        steps: What counts as one step: by layout, `paragraphs`, `lines` or `sentences`; or `content`, a claim
            (a relation such as ``=``, or a sentence that states something), whatever the layout.
        answer_forms: Which ways of stating an answer are taken (`envs.answers`). The closing line always is;
            `last_number`, for texts that state none, is not by default.
        instruction: What a model is asked for: steps, and the form of the answer. None for the task's own
            sentence, which chat models alone get.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Segmentation = "paragraphs"
    answer_forms: tuple[AnswerForm, ...] = DEFAULT_FORMS
    instruction: str | None = None


class FreeTextEnv(Env[Any]):
    """A task that judges only the answer, unless it has a checker of equations.

    Without one, its state is the number of steps and the last step.

    Attributes:
        checker: Finds and judges equations, which are the steps then; None where steps are text.
    """

    checks_steps = False
    checks_backtracks = False
    checker: ArithmeticSteps | EquationSteps | None = None
    format_request: ClassVar[str] = "Please reason step by step, and put your final answer within \\boxed{}."

    def check_equations(self, checker: ArithmeticSteps | EquationSteps) -> None:
        """Make every equation a step, and judge it."""
        self.checker = checker
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
        if self.checker is None:
            return read_steps(text, self.settings.steps, lines)
        blocks = find_blocks(text)
        sentences = mark(segment(text, lines, blocks, "sentences"), blocks)
        others = [step for step in sentences if step.kind is not StepKind.FORWARD]
        return self.checker.read_steps(text, others)

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        """Find the answer in any form that the settings take, and the steps before it."""
        stated = read_stated(text, self.settings.answer_forms, self.same_answer, self.is_bare)
        answer = stated.answer
        if answer is not None and "\n" in answer:
            answer = self.one_line(answer)
        status = Status.MALFORMED if answer is None else Status.COMPLETE
        return Trace(
            # "48 + 24 = \boxed{72}" is an equation and a statement.
            steps=self.read_steps(_without(text, stated.spans) if self.checker is None else text),
            answer=answer,
            status=Status.TRUNCATED if truncated else status,
            form=stated.form,
            why_malformed=stated.why_not,
        )

    @property
    def request(self) -> str:
        """The setting `instruction`, or the task's own sentence."""
        instruction: str | None = self.settings.instruction
        return self.format_request if instruction is None else instruction

    @property
    def plain_request(self) -> str:
        """The setting `instruction`: a request of the user's own is for every model."""
        return self.settings.instruction or ""

    def same_answer(self, one: str, other: str) -> bool:
        """Whether two spellings are the same answer, for texts that state it more than once."""
        return self.one_line(one) == self.one_line(other)

    def is_bare(self, text: str) -> bool:
        """Whether a whole text is nothing but an answer."""
        return is_bare(text)

    def one_line(self, answer: str) -> str:
        """An answer with several lines in one; the default puts spaces between them."""
        return collapse(answer)


def _without(text: str, spans: Sequence[Span]) -> str:
    """The text with line ends in place of some spans, which keeps all places."""
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], "\n" * (end - start)]
        at = end
    return "".join([*parts, text[at:]])
