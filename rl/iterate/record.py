"""The records of a step-skipping loop: every answer that it has sampled, and a row for each round.

::

    rounds.jsonl                          a `RoundRow` for each finished round, 0 (the initialisation) first
    rounds/<round>/asked.jsonl            an `AnswerRow` for each request on the train problems; none in round 0
    rounds/<round>/conditioned.jsonl      an `AnswerRow` for each problem and request of the evaluation
    rounds/<round>/standard.jsonl         an `AnswerRow` for each problem of each cell

Every figure of a `RoundRow` follows from the `AnswerRow`s (`metrics.py`). All decoding is greedy, so there is
one answer for each (cell, index, fewer), and two models are compared problem by problem over (cell, index). The
JSON is flat but for the results of a round, and carries the number of the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rewards import Outcome
from rl.runs import json_fields as check
from rl.runs.json_fields import RecordError
from rl.runs.record import FormatError

FORMAT = 1
"""Version of these records; raise it with every change that an older reader would misread."""

TRAIN = "train"
"""The cell of the problems that the loop learns from."""

VALIDATION = "validation"
"""The cell of `iterate.validation`: harder than train, and disjoint from the cells that are tested."""


class ModelKind(StrEnum):
    """The two models of a round."""

    CONDITIONED = "conditioned"
    """Its prompts state the number of steps; it is asked for fewer."""
    STANDARD = "standard"
    """Its prompts state none; it is what the paper's main table evaluates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRow:
    """One greedy answer, judged.

    Example: the conditioned model of round 1 is asked for 2 of 3 steps, and takes them:
    `AnswerRow(round=1, model=ModelKind.CONDITIONED, cell="id", index=7, bucket="3_2", fewer=1, asked=2,
    full_steps=3, steps=2, outcome=Outcome.VERIFIED, steps_checked=True, invalid=0, tokens=31, text="...",
    stated="423", kept=False)`.

    Attributes:
        round: Round of the model that answers. What is asked on train for round r is answered by the model of
            round r - 1.
        model: Which of its two models.
        cell: `train`, a split of `eval.splits`, or `validation`.
        index: Index of the problem in its cell: its identity when models are compared.
        bucket: Its difficulty bucket; None where the task has none.
        fewer: By how many steps the request is below the full count, as it was meant: 0, or one of
            `iterate.fewer`. None for the standard model.
        asked: Steps that the prompt states: the full count less `fewer`, or, where that would be 0 or less, the
            full count. None for the standard model.
        full_steps: Steps of the full trace.
        steps: Steps written, those that a backtrack took back included (backtrack lines not).
        outcome: How it was judged; None if a grader failed on it, which says nothing about the answer.
        steps_checked: Whether the task checks steps; otherwise they are counted.
        invalid: Lines that the environment refused; None where steps are not checked.
        tokens: Tokens of the completion, stop token included.
        text: The completion.
        stated: The answer that it states; None without one.
        kept: Whether it is learnt from: asked on train, right, with exactly the steps asked for and fewer than
            full, and with every line verified where `iterate.keep` is `verified`. False in evaluations.
    """

    round: int
    model: ModelKind
    cell: str
    index: int
    bucket: str | None
    fewer: int | None
    asked: int | None
    full_steps: int
    steps: int
    outcome: Outcome | None
    steps_checked: bool
    invalid: int | None
    tokens: int
    text: str
    stated: str | None
    kept: bool = False

    @property
    def key(self) -> tuple[str, int, int | None]:
        """What it answers; once in a file."""
        return self.cell, self.index, self.fewer

    @property
    def correct(self) -> bool:
        """Whether the answer is right, whatever the lines before it."""
        return self.outcome in (Outcome.VERIFIED, Outcome.CORRECT)

    @property
    def verified(self) -> bool | None:
        """Whether the answer is right and every line holds; None where steps are not checked."""
        return self.outcome is Outcome.VERIFIED if self.steps_checked else None

    @property
    def consistent(self) -> bool:
        """Step consistency: whether it has exactly the steps asked for."""
        return self.steps == self.asked

    @property
    def real_skip(self) -> bool:
        """Whether fewer steps than full were asked for."""
        return self.asked is not None and self.asked < self.full_steps

    def to_json(self) -> dict[str, Any]:
        """The row as a flat JSON object."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> AnswerRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        return _read_answer(_of_this_format(data))


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """How the conditioned model follows one request on id (section 1.8 of the sources; the paper's 4.3).

    Shares are of the answers that could be graded; None where there is nothing that they would be shares of.

    Attributes:
        num: Answers.
        consistency: Step consistency: share with exactly the steps asked for.
        accuracy: Share of right answers.
        accuracy_consistent: Share of right ones among the step-consistent.
        joint: Share that is step-consistent and right.
        num_real: Answers to *real skips*: the request is below the full count.
        consistency_real: Of the real skips, as above; so are the next three.
        accuracy_real: Accuracy.
        accuracy_consistent_real: Accuracy among the step-consistent.
        joint_real: Step-consistent and right.
        verified_real: Step-consistent, right, and every line verified; None where steps are not checked.
        steps: Mean steps written.
        asked: Mean steps asked for.
    """

    num: int
    consistency: float | None
    accuracy: float | None
    accuracy_consistent: float | None
    joint: float | None
    num_real: int
    consistency_real: float | None
    accuracy_real: float | None
    accuracy_consistent_real: float | None
    joint_real: float | None
    verified_real: float | None
    steps: float | None
    asked: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Solved:
    """How the standard model does on one cell.

    Shares are of the answers that could be graded; None where there is nothing that they would be shares of.

    Attributes:
        num: Answers.
        accuracy: Share of right answers.
        steps: Mean steps written.
        steps_correct: Mean steps of right answers.
        full_steps: Mean steps of the full traces.
        full_steps_correct: Mean steps of the full traces of the problems answered right.
        fewer: Share of answers with fewer steps than the full trace, right or wrong.
        equal: With as many.
        more: With more.
        fewer_accuracy: Share of right ones among those with fewer.
        equal_accuracy: Among those with as many.
        more_accuracy: Among those with more.
        unverified_correct: Share of right answers with a line that does not hold, or a missing one; None where
            steps are not checked. In answers with fewer steps it is where a skip may be luck.
        unverified_fewer: The same among right answers with fewer steps.
        invalid_correct: Invalid lines per right answer; None where steps are not checked.
        tokens: Mean tokens.
    """

    num: int
    accuracy: float | None
    steps: float | None
    steps_correct: float | None
    full_steps: float | None
    full_steps_correct: float | None
    fewer: float | None
    equal: float | None
    more: float | None
    fewer_accuracy: float | None
    equal_accuracy: float | None
    more_accuracy: float | None
    unverified_correct: float | None
    unverified_fewer: float | None
    invalid_correct: float | None
    tokens: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What asking for fewer steps on the train problems has brought.

    Attributes:
        num: Requests.
        num_real: Requests below the full count.
        consistent: Answers with exactly the steps asked for, of the real ones.
        correct: Right answers, of the real ones.
        kept: Answers that are learnt from.
        kept_verified: Those of them with every line verified; the others were luck, or have a line that does
            more steps than the task allows. None where steps are not checked.
        problems: Problems with an answer that is kept.
    """

    num: int
    num_real: int
    consistent: int
    correct: int
    kept: int
    kept_verified: int | None
    problems: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundRow:
    """One finished round.

    Attributes:
        round: Its number; 0 is the initialisation.
        num_full: Full traces in its mix.
        num_skipped: Skipped ones: by hand in round 0, the model's own after it.
        updates: Optimiser updates of each of its models.
        asked: What was asked for on train; None in round 0.
        following: The conditioned model on id, by `fewer` as text ("0", "1", "2").
        solved: The standard model by cell (`eval.splits`, then `validation`); empty without one.
    """

    round: int
    num_full: int
    num_skipped: int
    updates: int
    asked: Asked | None
    following: Mapping[str, Following]
    solved: Mapping[str, Solved]

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> RoundRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        return _read_round(_of_this_format(data))


def _of_this_format(data: Any) -> dict[str, Any]:
    if type(data) is not dict:
        raise RecordError(f"{check.shown(data)} is not a JSON object")
    found = data.get("format")
    if type(found) is not int or found != FORMAT:
        has = "no format number" if found is None else f"format {check.shown(found)}"
        raise FormatError(f"{has}, and of a loop's records this version of Stride reads format {FORMAT}")
    return data


_FIGURES: dict[str, check.Check] = {
    "bool": check.flag,
    "int": check.integer,
    "int | None": check.optional(check.integer),
    "float | None": check.optional(check.number),
}
_read_answer = check.record(
    AnswerRow,
    {
        **_FIGURES,
        "ModelKind": check.one_of(ModelKind),
        "Outcome | None": check.optional(check.one_of(Outcome)),
        "str": check.text,
        "str | None": check.optional(check.text),
    },
)
_read_round = check.record(
    RoundRow,
    {
        **_FIGURES,
        "Asked | None": check.optional(check.record(Asked, _FIGURES)),
        "Mapping[str, Following]": check.mapping(check.record(Following, _FIGURES)),
        "Mapping[str, Solved]": check.mapping(check.record(Solved, _FIGURES)),
    },
)
