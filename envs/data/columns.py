"""Which columns of the data hold what, by name and by preset."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Literal

Preset = Literal["gsm8k", "math", "svamp", "asdiv", "aqua", "arc", "metamath", "prompt-completion", "messages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Names of the columns. A dotted name is a field of an object: `choices.text`.

    A column that the data lacks is no mistake unless it is in `named`. But there must be a question, and an
    answer, in a column of its own or stated by the solution.

    Attributes:
        question: The task text; several columns are joined by spaces. In a chat it is what the user says.
        answer: The right answer.
        solution: The full worked solution: a text, a list of steps, or a list of chat messages.
        skipped: Shorter solutions.
        detours: Solutions with a wrong turn.
        equation: An equation that is worked out where there is no solution (`equations.py`).
        choices: The choices of a multiple-choice question.
        messages: A chat with one question of the user's and the assistant's solution.
        level: Difficulty, a number or text such as "Level 3".
        split: The split of the row.
        named: The fields above that the settings name.
    """

    question: tuple[str, ...] = ("question",)
    answer: str | None = "answer"
    solution: str | None = "solution"
    skipped: str | None = "skipped"
    detours: str | None = "detours"
    equation: str | None = "equation"
    choices: str | None = "choices"
    messages: str | None = None
    level: str | None = "level"
    split: str | None = "split"
    named: frozenset[str] = frozenset()

    def renamed(self, **names: str | tuple[str, ...] | None) -> Columns:
        """The columns with those replaced that are given; None stands for not given."""
        given = {field: name for field, name in names.items() if name is not None}
        columns: Columns = replace(self, **given, named=frozenset(given))  # type: ignore[arg-type]
        return columns

    def all_names(self) -> dict[str, tuple[str, ...]]:
        """The names of the columns by field."""
        found = {}
        for field in fields(self):
            name = getattr(self, field.name)
            if field.name != "named" and name is not None:
                found[field.name] = name if isinstance(name, tuple) else (name,)
        return found


NOTE = "note"
"""The column in which `stride data skip` says what it did; nobody needs to read it again."""

PRESETS: dict[Preset | None, Columns] = {
    None: Columns(),
    # Cobbe et al., arXiv 2110.14168: the answer follows "####" at the end of the solution.
    "gsm8k": Columns(solution="answer", answer=None),
    # Hendrycks et al., arXiv 2103.03874: the answer is in the last box of the solution.
    "math": Columns(question=("problem",)),
    "svamp": Columns(question=("Body", "Question"), answer="Answer", equation="Equation"),
    "asdiv": Columns(question=("body", "question")),
    "aqua": Columns(solution="rationale", answer="correct", choices="options"),
    "arc": Columns(answer="answerKey"),
    "metamath": Columns(question=("query",), solution="response", answer=None),
    # TRL's standard and conversational forms.
    "prompt-completion": Columns(question=("prompt",), solution="completion"),
    "messages": Columns(question=(), solution=None, messages="messages"),
}


def find_preset(columns: Collection[str]) -> Preset | None:
    """The preset of data without a column `question`: TRL's two forms are known by their columns."""
    if "question" not in columns:
        if "messages" in columns:
            return "messages"
        if {"prompt", "completion"} <= set(columns):
            return "prompt-completion"
    return None


def has_plain_names(columns: Collection[str]) -> bool:
    """Whether data has a question, an answer and a solution or an equation by their plain names.

    A run may train on a file that `stride data skip` has written, which has them, and be evaluated on the data
    set that it was made from, with one preset.
    """
    names = set(columns)
    return {"question", "answer"} <= names and not names.isdisjoint({"solution", "equation"})
