"""Ask a trained model single questions: what `stride chat` does.

In: a problem of a split, or a question in the task's own form. Out: answers, each read, checked step by step
and scored as in training, and their description in plain text. Where the right answer to a typed question is
not known, the steps are checked, and the answer only by tasks that need no right answer for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs import Config
from envs import Env, Problem, Split, Step, StepKind, Trace, Verdict, render_trace
from envs.free_text import FreeTextEnv
from envs.grading import Grade
from rewards import Score
from rl.parts import build_parts
from rollout.read_trace import read_trace
from rollout.types import Completion, FinishReason, GroupRequest, Sampling
from rollout.worker import RolloutWorker

_NO_ANSWER = "\x00"  # no model text equals it: the text gate refuses control characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question to the model.

    Attributes:
        problem: The problem; for a typed question, with the parts that are known.
        in_form: Whether the question has the form of the task's questions, so that steps can be checked.
        answer_known: Whether the right answer is known.
    """

    problem: Problem
    in_form: bool
    answer_known: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One sampled answer.

    Attributes:
        text: The completion.
        trace: Its steps and answer, checked as far as the question allows.
        score: Its reward; None where the right answer is not known.
    """

    text: str
    trace: Trace
    score: Score | None = None


class Chat:
    """A model to ask."""

    def __init__(self, worker: RolloutWorker, *, sampling: Sampling, num_samples: int, seed: int) -> None:
        self._worker = worker
        self._sampling = sampling
        self._num_samples = num_samples
        self._seed = seed

    @property
    def env(self) -> Env[Any]:
        """The task."""
        return self._worker.env

    def from_split(self, split: Split, index: int) -> Question:
        """A problem of the task.

        Raises:
            ValueError: The task has no such split.
        """
        return Question(problem=self.env.problem(split, index), in_form=True, answer_known=True)

    def typed(self, text: str, answer: str | None) -> Question:
        """A question that somebody typed, with its right answer if they gave it."""
        return read_question(self.env, text, answer)

    def prompt(self, question: Question) -> str:
        """The prompt as the model gets it, with its length and its token ids.

        Raises:
            PromptTooLongError: The question is too long for the config.
        """
        ids = self._worker.prompt(question.problem, self._request(question.problem)).ids
        return f"{self._worker.encoder.show(ids)}\n{len(ids)} tokens: {' '.join(map(str, ids))}"

    def ask(self, question: Question) -> list[Reply]:
        """Sample answers; one that cannot be judged is left out.

        Raises:
            PromptTooLongError: The question is too long for the config.
        """
        problem, worker = question.problem, self._worker
        request = self._request(problem)
        if question.answer_known:
            (group,) = worker.answer([request], [problem], self._sampling).groups
            return [Reply(text=each.text, trace=each.trace, score=each.score) for each in group.samples]
        (completions,) = worker.engine.generate([worker.prompt(problem, request)], self._sampling)
        return [self._read(question, completion) for completion in completions]

    def _request(self, problem: Problem) -> GroupRequest:
        return GroupRequest(
            group_id=0,
            split=problem.split,
            index=problem.index,
            budget=problem.budget,
            num_samples=self._num_samples,
            seed=self._seed,
        )

    def _read(self, question: Question, completion: Completion) -> Reply:
        """Read a completion whose right answer is not known."""
        encoder = self._worker.encoder
        text = encoder.decode(completion.ids)
        truncated = completion.finish_reason is FinishReason.LENGTH
        part = self.env.part_of(question.problem)
        trace = read_trace(part, encoder, text, truncated=truncated)
        if question.in_form:
            trace = self.env.check(question.problem, trace)
        return Reply(text=text, trace=replace(trace, num_tokens=len(completion.ids)))


@contextmanager
def open_chat(
    model: Path | str, config: Config, *, temperature: float, num_samples: int, seed: int
) -> Iterator[Chat]:
    """Load a model and get ready to sample from it in this process.

    Raises:
        ConfigError, PolicyError: The config or the model cannot be used.
    """
    checkpoint = Path(model) if Path(model).is_dir() else None
    rollout = config.rollout.model_copy(update={"backend": "local", "max_staleness": 0})
    changes: dict[str, Any] = {"rollout": rollout, "warm_start": None, "key_steps": None}
    if checkpoint is None and model != "config":
        changes["policy"] = config.policy.model_copy(update={"model": str(model)})
    config = config.model_copy(update=changes)
    parts = build_parts(config, find_model=checkpoint is None)

    import torch  # everything that needs none is checked

    from rl.build import build_policy, check_backends, worker_spec
    from rl.runs.quiet import quiet_libraries

    check_backends(config)
    quiet_libraries()
    torch.set_num_threads(config.threads)
    policy = build_policy(config, parts, checkpoint)
    worker = worker_spec(config, parts, policy).build()
    sampling = Sampling(temperature=temperature, max_new_tokens=config.rollout.max_new_tokens)
    try:
        yield Chat(worker, sampling=sampling, num_samples=num_samples, seed=seed)
    finally:
        worker.close()


def read_question(env: Env[Any], text: str, answer: str | None) -> Question:
    """A typed question as a problem, with as much as the task can tell of it.

    Of a mixture, the first part that can read the question gets it; if none can, the first one.
    """
    found = []
    for label, part in env.parts.items():
        question = _read_question(part, text, answer)
        problem = replace(question.problem, env=env.name, part=label)
        found.append(replace(question, problem=problem))
        if question.in_form:
            return found[-1]
    return found[0]


def _read_question(env: Env[Any], text: str, answer: str | None) -> Question:
    blank = Problem(
        env=env.name,
        split=Split.TRAIN,
        index=0,
        question=text,
        prompt=env.render_prompt(text),
        answer=_NO_ANSWER if answer is None else answer,
        num_full_steps=1,
        difficulty=0,
    )
    if isinstance(env, FreeTextEnv):
        known = answer is not None and _can_grade(env, blank)
        return Question(problem=blank, in_form=known, answer_known=known)
    try:
        # Parsers of questions trust their input; typed text may break them in any way.
        steps = len(env.full_trace(blank)) if answer is not None else 1
        env.check(blank, env.parse(render_trace(["0"], "0")))
    except Exception:
        return Question(problem=blank, in_form=False, answer_known=False)
    return Question(
        problem=replace(blank, num_full_steps=max(1, steps)), in_form=True, answer_known=answer is not None
    )


def _can_grade(env: Env[Any], problem: Problem) -> bool:
    try:
        env.grade_answer(problem, "0")
    except Exception:
        return False
    return True


def describe(question: Question, replies: Sequence[Reply]) -> str:
    """The answers as plain text, each step with its verdict."""
    if not replies:
        return "no answer could be judged: the grader or a reward failed"
    return "\n\n".join(_describe(question, reply) for reply in replies)


def _describe(question: Question, reply: Reply) -> str:
    shown = map(_line, reply.trace.steps) if question.in_form else map("  {}".format, reply.text.split("\n"))
    lines = [*shown, _verdict(question, reply.trace)]
    if reply.score is not None:
        named = [f"{name} {value:+.2f}" for name, value in reply.score.parts.items()]
        lines.append(f"reward {reply.score.total:.2f}: {', '.join(named)}")
    return "\n".join(lines)


def _line(step: Step) -> str:
    if step.kind is StepKind.BACKTRACK:
        note = "goes back" if step.verdict is not Verdict.INVALID else f"invalid: {step.reason}"
    elif step.verdict is Verdict.INVALID:
        note = f"invalid: {step.reason}"
    else:
        note = "not checked" if step.verdict is Verdict.UNCHECKED else "valid"
    text = step.text.replace("\n", "\n  ")
    return f"  {text}    [{note}{', taken back' if step.undone else ''}]"


def _verdict(question: Question, trace: Trace) -> str:
    answer = "no answer" if trace.answer is None else f"answer {trace.answer}"
    steps = f"{trace.num_steps} step{'' if trace.num_steps == 1 else 's'}"
    if question.answer_known and question.in_form:
        of = f" of {question.problem.num_full_steps}" if trace.steps_checked else " counted"
        grade = trace.grade.value if trace.grade is not None else "not judged"
        verified = ", verified" if trace.verified else ""
        return f"{answer}: {grade}{verified}; {steps}{of}; {trace.status.value}, {trace.num_tokens} tokens"
    if not question.in_form:
        return f"{answer}: not checked, because the question does not have the form of this task's questions"
    judged = "correct" if trace.grade is Grade.CORRECT else "not judged; give --answer to judge it"
    found = f", {trace.num_invalid} invalid" if trace.steps_checked else " counted"
    return f"{answer}: {judged}; {steps}{found}; {trace.num_tokens} tokens"
