r"""From a problem to the text of its prompt, before any tokenizer.

In: a problem. Out: the messages of a chat, or one text for a model without a chat template; `encoder.py` makes
token ids of them. Text of problems and examples is marked as data, so that control tokens spelled out in it
stay text; everything else (templates, requests, system prompt, prefill) is the user's or the task's own wording
and may contain control tokens.

A template is text with named slots::

    {question}
    Use at most {budget} steps.
    {format}

`{question}` is the problem's question, after the task's instruction if it has one. `{budget}` is the number of
steps asked for; a line with this slot is left out where none is asked for. `{format}` is the task's request for
the form of the answer. `{{name}}` is the text `{name}`; other braces, as in ``\boxed{}``, are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from envs import Problem, Split, Thinking
from envs.requests import ANSWER_CUE, ask_for_steps

SLOTS: Final = ("question", "budget", "format")
_SLOT = re.compile(r"\{\{[A-Za-z_]\w*\}\}|\{[A-Za-z_]\w*\}")


class Piece(NamedTuple):
    """A part of a prompt's text; control tokens in data are read as ordinary characters."""

    text: str
    is_data: bool = False


class Message(NamedTuple):
    """A message of a chat."""

    role: str
    content: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A worked example for few-shot prompts.

    Attributes:
        question: The question.
        prompt: The task's own prompt for it.
        answer: The completion that answers it, closing line included.
    """

    question: str
    prompt: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """Everything but the tokenizer that a prompt depends on.

    Without a chat template, the default prompt is the task's own (`Problem.prompt`), which ends in a cue for
    the answer; a request of the user's own stands before the cue. Inside a chat turn there is no such cue; the
    default states the question, the step request, and the form of the answer.

    Attributes:
        instruction: What the task asks, for models that have not been trained on it; empty if the question says
            it.
        step_request: Request for a number of steps, with the slot `{steps}` ("3 steps", "1 step").
        format_request: Request for the form of the answer.
        plain_request: The request of a prompt without chat template or template of the user's; empty for none.
        templates: Template of each split; a split without one gets the default.
        shots: Worked examples, one more than are shown, because a problem is never its own example.
        num_shots: How many of them a prompt shows.
        system_prompt: System message of a chat.
        prefill: Start of every completion, given with the prompt. It is not sampled or trained on, but read as
            part of the completion.
        chat_template: Whether to use the tokenizer's chat template; None uses it if there is one.
        chat_template_kwargs: Variables that the chat template reads.
        thinking: Marks of a thought; "auto" takes the usual ones if the chat template knows them.
        parts: The format of each part of a mixture, which differ in the task's own wording and examples.
    """

    instruction: str = ""
    step_request: str = "Let's solve it in {steps}."
    format_request: str = ""
    plain_request: str = ""
    templates: Mapping[Split, str] = field(default_factory=dict)
    shots: tuple[Shot, ...] = ()
    num_shots: int = 0
    system_prompt: str | None = None
    prefill: str = ""
    chat_template: bool | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thinking: Thinking | Literal["auto"] | None = None
    parts: Mapping[str, PromptFormat] = field(default_factory=dict)

    def messages(self, problem: Problem) -> list[Message]:
        """The chat that ends with the problem's question."""
        if problem.part in self.parts:
            return self.parts[problem.part].messages(problem)
        found = [] if self.system_prompt is None else [Message("system", (Piece(self.system_prompt),))]
        for shot in self._shots_for(problem):
            found.append(Message("user", self._user_turn(problem.split, shot.question, None)))
            found.append(Message("assistant", (Piece(shot.answer, is_data=True),)))
        return [*found, Message("user", self._user_turn(problem.split, problem.question, problem.budget))]

    def text(self, problem: Problem) -> tuple[Piece, ...]:
        """The prompt of a model without a chat template, prefill included."""
        if problem.part in self.parts:
            return self.parts[problem.part].text(problem)
        found: list[Piece] = []
        for shot in self._shots_for(problem):
            found += self._plain(problem.split, shot.question, shot.prompt, None)
            found += [Piece(shot.answer, is_data=True), Piece("\n\n")]
        found += self._plain(problem.split, problem.question, problem.prompt, problem.budget)
        return (*found, Piece(self.prefill))

    def _shots_for(self, problem: Problem) -> Sequence[Shot]:
        others = [shot for shot in self.shots if shot.question != problem.question]
        return others[: self.num_shots]

    def _user_turn(self, split: Split, question: str, budget: int | None) -> tuple[Piece, ...]:
        if split in self.templates:
            return self._fill(self.templates[split], question, budget)
        requests = [] if budget is None else [ask_for_steps(self.step_request, budget)]
        requests += [self.format_request] if self.format_request else []
        asked = "\n".join(requests)
        return (*self._question(question), *([Piece(f"\n\n{asked}")] if asked else []))

    def _plain(self, split: Split, question: str, prompt: str, budget: int | None) -> tuple[Piece, ...]:
        if split in self.templates:
            return self._fill(self.templates[split], question, budget)
        if not self.plain_request:
            return (Piece(prompt, is_data=True),)
        before, cue, after = prompt.rpartition(ANSWER_CUE)
        request = Piece(f"{self.plain_request}\n")
        return (Piece(before, is_data=True), request, Piece(f"{cue}{after}", is_data=True))

    def _question(self, question: str) -> tuple[Piece, ...]:
        instruction = (Piece(f"{self.instruction}\n\n"),) if self.instruction else ()
        return (*instruction, Piece(question, is_data=True))

    def _fill(self, template: str, question: str, budget: int | None) -> tuple[Piece, ...]:
        if budget is None:
            lines = template.splitlines(keepends=True)
            template = "".join(line for line in lines if "budget" not in slots_of(line))
        values: dict[str, tuple[Piece, ...]] = {
            "budget": (Piece(str(budget)),),
            "format": (Piece(self.format_request),),
            "question": self._question(question),
        }
        found: list[Piece] = []
        start = 0
        for match in _SLOT.finditer(template):
            found.append(Piece(template[start : match.start()]))
            name = match[0].strip("{}")
            found += (Piece(f"{{{name}}}"),) if match[0].startswith("{{") else values[name]
            start = match.end()
        return (*found, Piece(template[start:]))


PLAIN: Final = PromptFormat()
"""The task's own prompts, with nothing around them."""


def slots_of(template: str) -> list[str]:
    """Names of the slots of a template, in order."""
    return [match[0][1:-1] for match in _SLOT.finditer(template) if not match[0].startswith("{{")]


def check_template(template: str) -> None:
    """Refuse a template that cannot be filled.

    Raises:
        ValueError: It has an unknown slot, none for the question, or one on the line of the budget.
    """
    known = ", ".join(f"{{{name}}}" for name in SLOTS)
    for name in slots_of(template):
        if name not in SLOTS:
            raise ValueError(f"unknown slot {{{name}}}; known: {known}; for the text write {{{{{name}}}}}")
    if "question" not in slots_of(template):
        raise ValueError(f"it has no slot {{question}}, so the model would never see the problem: {template!r}")
    for line in template.splitlines():
        if {"question", "budget"} <= {*slots_of(line)}:
            raise ValueError(
                f"{{budget}} and {{question}} share the line {line!r}, which is left out where no budget is "
                "asked for; give {budget} a line of its own"
            )
