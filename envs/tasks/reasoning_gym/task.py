r"""Any task of reasoning-gym as an environment; only the answer is judged.

    env:
      name: reasoning_gym
      settings: {preset: countdown}                                # or
      settings: {task: maze, config: {min_grid_size: 5}}

A problem (of the task chain_sum) and the closing line of its answer::

    State the final answer to the following arithmetic problem: 9341 + 8397 - 6191 - 9783 + 3662 + 4235 =
    Answer:
    Thus, the answer is 9661.

The answer is stated in the closing line, or in another form that `answer_forms` takes (`envs.answers`), such as
``<answer>`` tags, which prompts ask for. Where a text has none of these and is as short as an answer, it is the
answer: most questions ask for the answer alone. An answer with several rows is one line here, with its rows
joined by " / "; everywhere else it may also have its rows as lines. Spaces, line breaks in JSON, commas between
thousands, a full stop and marks around an answer make no difference (`layout.py`).

Steps: what stands before the answer, by `steps` (paragraphs, lines, sentences or content). Steps are counted
and not checked, so a trace is correct or not, but never verified. The package has no worked solutions, so there
are no traces to learn from; `full_steps` is the step count of all problems.

Buckets: none. Splits differ in the settings of the generator.

The package is imported in separate processes, never in this one. One of them generates the entries and never
sees text from a model; another scores answers and may be killed at any time (`operations.py`).

Source: reasoning-gym 0.1.25. The presets are the tasks of "How Much Backtracking is Enough?" (arXiv
2505.24273). Differences: scorers that evaluate the answer as code, or refuse right ones, are replaced
(`scorers.py`), and scorers known to accept wrong answers run only after a stricter check (`stricter.py`). An
answer that reasoning-gym scores below 1 is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from envs.free_text import FreeTextEnv
from envs.generated import home
from envs.grading import Grade, GraderError, why_refused
from envs.problem import Problem, Split
from envs.sandbox import Reply, ReplyStatus, Sandbox
from envs.seeding import derive_seed
from envs.tasks.reasoning_gym.layout import as_written
from envs.tasks.reasoning_gym.scorers import OWN
from envs.tasks.reasoning_gym.settings import ReasoningGymSettings
from envs.tasks.reasoning_gym.shape import ROW_BREAK, AnswerShape
from envs.tasks.reasoning_gym.stricter import STRICTER

OPERATIONS = Path(__file__).with_name("operations.py")

_SETS = "it draws from sets of text, so its problems differ between processes with the same seed"
REFUSED = {
    "composite": "it is a mixture of tasks; name one of them",
    "intermediate_integration": "its scorer evaluates answers as code, and has no replacement",
    "isomorphic_strings": _SETS,
    "knight_swap": _SETS,
    "polynomial_multiplication": _SETS,
    "ransom_note": _SETS,
    "word_ladder": _SETS,
}

_UNDERSCORE = re.compile("[0-9]_[0-9]")
_GENERATE_TIMEOUT_S = 30.0
_MAX_DRAWS = 200  # one question in four belongs to id
_CONTROLS = 8
_MAX_ENTRIES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One problem as reasoning-gym generates it.

    Attributes:
        question: The question, unchanged.
        gold: A right answer, unchanged.
        data: The whole entry as plain data, for its scorer; None if a replacement scores the task.
        facts: The facts that the replacement needs.
    """

    question: str
    gold: str
    data: Any
    facts: Mapping[str, Any]

    @property
    def answer(self) -> str:
        """The right answer in one line."""
        return self.gold.replace("\n", ROW_BREAK)


class ReasoningGym(FreeTextEnv):
    """A task of reasoning-gym."""

    name = "reasoning_gym"
    Settings = ReasoningGymSettings
    has_solutions: ClassVar[bool] = False
    format_request: ClassVar[str] = (
        "Please reason step by step, and end with your final answer alone between <answer> and </answer>."
    )
    example: ClassVar[Mapping[str, Any]] = {"preset": "color_cube_rotation"}

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Look up the task, and check that its own answers are right.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
            ValueError: The task does not exist or cannot be used, or its generator refuses `config`.
            GraderError: One of the processes failed.
        """
        super().__init__(settings)
        self._task: str = self.settings.task
        self._check_task()
        for split in self.splits:
            self._check_config(split)
        self._entry = lru_cache(maxsize=_MAX_ENTRIES)(self._draw)
        self._shape = AnswerShape.of(self._try_out())

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the cache, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_entry"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with an empty cache; entries are made again where they are needed."""
        vars(self).update(state)
        self._entry = lru_cache(maxsize=_MAX_ENTRIES)(self._draw)

    # ---- checks of the task ----

    def _check_task(self) -> None:
        if find_spec("reasoning_gym") is None:
            raise ValueError("reasoning-gym is not installed; pip install 'stride-rl[reasoning-gym]'")
        if self._task in REFUSED:
            raise ValueError(f"reasoning-gym's {self._task} cannot be used: {REFUSED[self._task]}")
        known = self._ask("tasks")
        if self._task not in known:
            raise ValueError(f"unknown reasoning-gym task {self._task!r}{_nearest(self._task, known)}")

    def _check_config(self, split: Split) -> None:
        config = self.settings.config_of(split)
        known = self._ask("settings_of", task=self._task)
        for name in config:
            if name not in known:
                raise ValueError(f"reasoning-gym's {self._task} has no setting {name!r}{_nearest(name, known)}")
        if reason := self._ask("why_not", task=self._task, config=config):
            raise ValueError(f"reasoning-gym's {self._task} refuses the settings of {split}: {reason}")

    def _try_out(self) -> list[str]:
        """Right answers of the first problems; refuses a task if most of its own answers are not right.

        Some tasks store no answers, and generators can have errors.
        """
        found = [self._candidate(Split.TRAIN, index, 0) for index in range(_CONTROLS)]
        reasons = [one for one in found if isinstance(one, str)]
        if len(reasons) > _CONTROLS // 2:
            raise ValueError(
                f"reasoning-gym's {self._task} cannot be used: {len(reasons)} of {_CONTROLS} problems cannot "
                f"be graded: {reasons[0]}"
            )
        others = [split for split in self.splits if split not in (Split.TRAIN, Split.ID)]
        found += [self._candidate(split, index, 0) for split in others for index in range(_CONTROLS // 4)]
        return [one.gold for one in found if isinstance(one, _Entry)]

    @property
    def splits(self) -> tuple[Split, ...]:
        """Train, id, and the out-of-distribution splits that the settings name."""
        splits: tuple[Split, ...] = self.settings.splits
        return splits

    # ---- problems ----

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        A hash of the question assigns it to train or to the other splits, so no train question is used in
        evaluation. Whether the out-of-distribution splits differ from id and from each other depends on their
        settings.

        Raises:
            ValueError: The split does not exist, or its settings give too few questions.
            GraderError: One of the processes failed.
        """
        split = Split(split)
        if split not in self.splits:
            raise ValueError(
                f"no problems for {split}; set env.settings.{split}, or leave it out of eval.splits"
            )
        entry = self._entry(split, index)
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=entry.question,
            prompt=self.render_prompt(entry.question, budget),
            answer=entry.answer,
            num_full_steps=self.settings.full_steps,
            difficulty=0,
            budget=budget,
        )

    def _draw(self, split: Split, index: int) -> _Entry:
        reason = "their questions belong to other splits"
        for draw in range(_MAX_DRAWS):
            found = self._candidate(split, index, draw)
            if isinstance(found, str):
                reason = found
            elif (home(found.question) is Split.TRAIN) is (split is Split.TRAIN):
                return found
        raise ValueError(
            f"no {split} problem of reasoning-gym's {self._task} in {_MAX_DRAWS} draws: {reason}; "
            "change its settings"
        )

    def _candidate(self, split: Split, index: int, draw: int) -> _Entry | str:
        """The entry of one draw, or the reason why it cannot be used.

        The package's own `seed + index` is not used, since neighbouring seeds share all but one question.
        """
        seed = derive_seed(self.settings.seed, self.name, self._task, split.value, index, draw) % 2**32
        facts = list(OWN[self._task][1]) if self._task in OWN else None
        config = self.settings.config_of(split)
        made = self._ask("make", task=self._task, config=config, seed=seed, facts=facts)
        if "error" in made:
            return str(made["error"])
        entry = _Entry(
            question=made["question"], gold=made["answer"], data=made.get("entry"), facts=made.get("facts", {})
        )
        num_breaks = entry.gold.count("\n")
        if not entry.answer.strip() or (num_breaks and entry.answer.count(ROW_BREAK) != num_breaks):
            return f"the answer {entry.gold[:80]!r} cannot be stated in one line"
        if reason := why_refused(entry.answer):
            return f"its answer has {reason}"
        # Scored in the process that generates entries, so draws do not depend on `timeout_s` or a busy machine.
        grade = self._grade_entry(split, entry, entry.gold, _generator())
        if grade is Grade.TIMEOUT:
            raise ValueError(self._too_slow)
        return entry if grade is Grade.CORRECT else f"its answer {entry.gold[:80]!r} is itself graded {grade}"

    def _ask(self, operation: str, **arguments: Any) -> Any:
        """Run an operation that involves no text from a model."""
        reply = _generator().call(operation, **arguments)
        if reply.status is ReplyStatus.TIMEOUT:
            raise ValueError(self._too_slow)
        if reply.status is ReplyStatus.CRASH:
            raise ValueError(
                f"reasoning-gym's {self._task} fails with these settings: {reply.detail}; change them"
            )
        return reply.value

    @property
    def _too_slow(self) -> str:
        return f"reasoning-gym's {self._task} takes over {_GENERATE_TIMEOUT_S:g} s; make its settings easier"

    # ---- answers ----

    def is_bare(self, text: str) -> bool:
        """Whether a whole text has the shape of an answer."""
        return self._shape.fits(text)

    def one_line(self, answer: str) -> str:
        """An answer with its rows joined by " / ", or by spaces where rows mean nothing."""
        return self._shape.in_one_line(answer)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it passes the stricter check and gets the full score.

        Raises:
            GraderError: A process failed, or the problem was generated with other settings.
        """
        try:
            entry = self._entry(problem.split, problem.index)
        except ValueError as error:  # the problem was generated before, so this is no fault of the answer
            raise GraderError(f"{problem.split} {problem.index} cannot be generated again: {error}") from error
        if entry.question != problem.question:
            raise GraderError(f"{problem.split} {problem.index} is a problem of other settings than these")
        if _UNDERSCORE.search(answer) and not _UNDERSCORE.search(entry.gold):  # int() and float() accept it
            return Grade.MALFORMED
        has_rows = self._shape.has_rows or "\n" in entry.gold
        written = as_written(entry.gold, answer.replace(ROW_BREAK, "\n") if has_rows else answer)
        if written == entry.gold:
            return Grade.CORRECT
        return self._grade_entry(problem.split, entry, written, _scorer(self.settings.timeout_s))

    def _grade_entry(self, split: Split, entry: _Entry, written: str, sandbox: Sandbox) -> Grade:
        if self._task in OWN:
            return OWN[self._task][0](entry.gold, entry.facts, written)
        stricter = STRICTER.get(self._task)
        if stricter is not None and not stricter(entry.gold, written):
            return Grade.WRONG
        return _grade_of(
            sandbox.call(
                "score",
                task=self._task,
                config=self.settings.config_of(split),
                entry=entry.data,
                answer=written,
            )
        )


def _grade_of(reply: Reply) -> Grade:
    """The grade for a reply; a text may have made the worker reply anything."""
    if reply.fault:
        return reply.fault
    if type(reply.value) is not float or not 0.0 <= reply.value <= 1.0:
        return Grade.CRASH
    return Grade.CORRECT if reply.value == 1.0 else Grade.WRONG


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}? known: {', '.join(known)}" if near else f"; known: {', '.join(known)}"


@lru_cache(maxsize=1)
def _generator() -> Sandbox:
    """The sandbox that generates entries; it never gets text from a model."""
    return Sandbox(OPERATIONS, timeout_s=_GENERATE_TIMEOUT_S, memory_mb=2048)


@lru_cache(maxsize=8)
def _scorer(timeout_s: float) -> Sandbox:
    """The sandbox that scores answers. None of its scorers evaluates text, so one worker serves many calls."""
    return Sandbox(OPERATIONS, timeout_s=timeout_s)
