r"""Any task of reasoning-gym as an environment: only the answer is judged.

    env:
      name: reasoning_gym
      settings: {preset: countdown}                                # or
      settings: {task: maze, config: {min_grid_size: 5}}

The package is imported in processes of its own, never in this one. One makes the entries and never sees text a
model wrote; another scores answers and may be killed at any time (`operations.py`). Its scorers
are used as they are only where they can be: those that evaluate the answer as code are replaced, and those
known to give full marks to wrong answers are asked after a stricter check (`reasoning_gym_scorers.py`). Partial
marks pay nothing.

An answer is what the closing line states or, without one, what one pair of ``<answer>`` tags at the end holds
or the last ``\boxed{}``. An answer of several rows is one line here, its rows joined by " / "; in tags it may
also stand as it is. There are no worked solutions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from envs.tasks.reasoning_gym.scorers import OWN, STRICTER
from envs.tasks.reasoning_gym.settings import ReasoningGymSettings
from envs.trace import CLOSING, Status, Trace

OPERATIONS = Path(__file__).with_name("operations.py")
ROW_BREAK = " / "
OPEN, CLOSE = "<answer>", "</answer>"

_SETS = "it draws from sets of text, so that no two processes make the same problems of a seed"
REFUSED = {
    "composite": "it is a mixture; name one of its tasks",
    "intermediate_integration": "its scorer evaluates answers as code, and there is no other",
    "isomorphic_strings": _SETS,
    "knight_swap": _SETS,
    "polynomial_multiplication": _SETS,
    "ransom_note": _SETS,
    "word_ladder": _SETS,
}

_UNDERSCORE = re.compile("[0-9]_[0-9]")
_GENERATE_TIMEOUT_S = 30.0
_MAX_DRAWS = 200  # one question in four is an id one
_CONTROLS = 8
_MAX_ENTRIES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One problem as reasoning-gym makes it.

    Attributes:
        question: As it is.
        gold: A right answer, as it is.
        data: All of it as plain data, for the scorer; None where ours is used.
        facts: What ours needs.
    """

    question: str
    gold: str
    data: Any
    facts: Mapping[str, Any]

    @property
    def answer(self) -> str:
        """The right answer in one line."""
        return self.gold.replace("\n", ROW_BREAK)

    def as_written(self, answer: str) -> str:
        """An answer in one line, with the rows reasoning-gym asks for."""
        return answer.replace(ROW_BREAK, "\n") if "\n" in self.gold else answer


class ReasoningGym(FreeTextEnv):
    """A task of reasoning-gym."""

    name = "reasoning_gym"
    Settings = ReasoningGymSettings
    has_solutions: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"preset": "color_cube_rotation"}

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Look the task up, and try whether its own answers are right.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
            ValueError: There is no such task, it is one that cannot be used, or its generator refuses `config`.
            GraderError: One of its processes failed.
        """
        super().__init__(settings)
        self._task: str = self.settings.task
        self._check_task()
        for split in self.splits:
            self._check_config(split)
        self._entry = lru_cache(maxsize=_MAX_ENTRIES)(self._draw)
        self._try_out()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the cache, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_entry"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with an empty cache; entries are made again where they are needed."""
        vars(self).update(state)
        self._entry = lru_cache(maxsize=_MAX_ENTRIES)(self._draw)

    # ---- what can be used ----

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

    def _try_out(self) -> None:
        """Refuse a task most of whose own answers are not right.

        Some tasks store none, and generators can have mistakes.
        """
        found = [self._candidate(Split.TRAIN, index, 0) for index in range(_CONTROLS)]
        reasons = [one for one in found if isinstance(one, str)]
        if len(reasons) > _CONTROLS // 2:
            raise ValueError(
                f"reasoning-gym's {self._task} cannot be used: {len(reasons)} of {_CONTROLS} problems cannot "
                f"be graded: {reasons[0]}"
            )

    @property
    def splits(self) -> tuple[Split, ...]:
        """Train, id, and those the settings name."""
        splits: tuple[Split, ...] = self.settings.splits
        return splits

    # ---- problems ----

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        Train questions are told from all others by a hash of the question, so that none is met in evaluation.
        That the out-of-distribution splits differ from id and from each other is up to their settings.

        Raises:
            ValueError: No such split, or its settings give too few questions.
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
            f"no {split} problem of reasoning-gym's {self._task} in {_MAX_DRAWS} draws, "
            f"as {reason}; change its settings"
        )

    def _candidate(self, split: Split, index: int, draw: int) -> _Entry | str:
        """What a seed gives, or why it is of no use.

        The package's own `seed + index` is not used: neighbouring seeds share all but one question.
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
        if not entry.answer.strip() or entry.as_written(entry.answer) != entry.gold:
            return f"the answer {entry.gold[:80]!r} cannot be stated in one line"
        if reason := why_refused(entry.answer):
            return f"its answer has {reason}"
        # Where entries are made, so that what is drawn does not depend on `timeout_s` or a busy machine.
        grade = self._grade_entry(split, entry, entry.answer, _generator())
        if grade is Grade.TIMEOUT:
            raise ValueError(self._too_slow)
        return entry if grade is Grade.CORRECT else f"its answer {entry.gold[:80]!r} is itself graded {grade}"

    def _ask(self, operation: str, **arguments: Any) -> Any:
        """Run an operation that no model text has a part in."""
        reply = _generator().call(operation, **arguments)
        if reply.status is ReplyStatus.TIMEOUT:
            raise ValueError(self._too_slow)
        if reply.status is ReplyStatus.CRASH:
            raise ValueError(f"reasoning-gym's {self._task} fails with these settings: {reply.detail}")
        return reply.value

    @property
    def _too_slow(self) -> str:
        return f"reasoning-gym's {self._task} takes over {_GENERATE_TIMEOUT_S:g} s; make its settings easier"

    # ---- answers ----

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        """As other free text; in a text without a closing line, tags may state the answer.

        They count where there is one pair of them and nothing follows; rows between them are no steps. Takes
        linear time.
        """
        start, end = text.find(OPEN), text.find(CLOSE)
        trace = super().parse(text, truncated=truncated)
        if trace.status is Status.TRUNCATED or CLOSING in text or (start < 0 and end < 0):
            return trace
        alone = text.rfind(OPEN) == start and text.rfind(CLOSE) == end
        if not alone or not 0 <= start < end or text[end + len(CLOSE) :].strip():
            return replace(trace, answer=None, status=Status.MALFORMED)
        rows = text[start + len(OPEN) : end].strip().split("\n")
        answer = ROW_BREAK.join(rows)
        return replace(super().parse(text[:start]), answer=answer, status=Status.COMPLETE)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right is what earns full marks, after the checks of our own.

        Raises:
            GraderError: A process failed, or the problem was made with other settings.
        """
        try:
            entry = self._entry(problem.split, problem.index)
        except ValueError as error:  # it could be made once
            raise GraderError(f"{problem.split} {problem.index} cannot be made again: {error}") from error
        if entry.question != problem.question:
            raise GraderError(f"{problem.split} {problem.index} is another problem here: not of these settings")
        return self._grade_entry(problem.split, entry, answer, _scorer(self.settings.timeout_s))

    def _grade_entry(self, split: Split, entry: _Entry, answer: str, sandbox: Sandbox) -> Grade:
        if _UNDERSCORE.search(answer) and not _UNDERSCORE.search(entry.gold):  # int() and float() take it
            return Grade.MALFORMED
        written = entry.as_written(answer)
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
    """The grade of a score; a worker may have been made to reply anything."""
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
    """Where entries are made; no text of a model goes there."""
    return Sandbox(OPERATIONS, timeout_s=_GENERATE_TIMEOUT_S, memory_mb=2048)


@lru_cache(maxsize=8)
def _scorer(timeout_s: float) -> Sandbox:
    """Where answers are scored. No scorer used there evaluates text, so a worker serves many calls."""
    return Sandbox(OPERATIONS, timeout_s=timeout_s)
