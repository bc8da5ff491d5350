"""A worker whose grader sometimes fails: a failure of the grader is never a score."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from envs import Grade, GraderError, Problem, Split, Thinking
from envs.line_facts import line_facts
from envs.tasks.directional import Directional
from rewards import RewardSum, Term
from rollout.prompt_format import PromptFormat
from rollout.types import Completion, FinishReason, GroupRequest, PrefixError, Prompt, Sampling
from rollout.worker import RolloutWorker, WorkerSpec, sample_seed

ANSWERS = ("north", "east", "south", "west")


class ScriptedEngine:
    """Writes the closing line with each heading in turn."""

    def __init__(self, texts: Sequence[tuple[int, ...]]) -> None:
        self.texts = texts

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        return [
            [
                Completion(
                    ids=ids, logprobs=(0.0,) * len(ids), finish_reason=FinishReason.STOP, weight_version=0
                )
                for ids in self.texts
            ]
            for _ in prompts
        ]

    def sleep(self) -> bool:
        return False

    def close(self) -> None: ...


class FailingGrader(Directional):
    """A task whose grader fails on some answers."""

    fails_on: frozenset[str] = frozenset()

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        if answer in self.fails_on:
            raise GraderError(f"the grader is gone ({answer})")
        return super().grade_answer(problem, answer)


def make_worker(spec: WorkerSpec, *fails_on: str) -> RolloutWorker:
    env = FailingGrader(spec.env.settings)
    env.fails_on = frozenset(fails_on)
    texts = [tuple(spec.encoder.encode_completion(f"Thus, the answer is {answer}.")) for answer in ANSWERS]
    return RolloutWorker(
        engine=ScriptedEngine(texts),  # type: ignore[arg-type]
        encoder=spec.encoder,
        env=env,
        rewards=spec.rewards,
        sampling=spec.sampling,
        max_prompt_tokens=spec.max_prompt_tokens,
    )


def request(spec: WorkerSpec) -> GroupRequest:
    index = next(index for index in range(50) if spec.env.problem(Split.TRAIN, index).answer == "north")
    return GroupRequest(
        group_id=0, split=Split.TRAIN, index=index, budget=None, num_samples=len(ANSWERS), seed=0
    )


def test_without_failures_all_samples_are_there(spec: WorkerSpec) -> None:
    (group,) = make_worker(spec).rollout([request(spec)]).groups
    assert (group.ungraded, group.failure) == (0, "")
    # The right answer earns 1 and 0.5 for its format, the others 0.5 for theirs.
    assert group.rewards == (1.5, 0.5, 0.5, 0.5)


def test_completions_that_a_grader_failed_on_are_left_out(spec: WorkerSpec) -> None:
    (group,) = make_worker(spec, "east", "west").rollout([request(spec)]).groups
    assert group.rewards == (1.5, 0.5)
    assert [sample.trace.answer for sample in group.samples] == ["north", "south"]
    assert (group.ungraded, group.failure) == (2, "the grader is gone (west)")


def test_a_group_that_no_grader_could_judge_is_empty_not_zero(spec: WorkerSpec) -> None:
    (group,) = make_worker(spec, *ANSWERS).rollout([request(spec)]).groups
    assert (group.samples, group.rewards, group.ungraded) == ((), (), 4)


def test_a_completion_is_read_with_its_prefill(spec: WorkerSpec) -> None:
    encoder = replace(spec.encoder, prompts=PromptFormat(prefill="Thus, the answer is "))
    worker = make_worker(replace(spec, encoder=encoder))
    (group,) = worker.rollout([request(spec)]).groups
    # The model writes "north." and a stop token; the line it completes is graded.
    sample = group.samples[0]
    assert encoder.show(sample.completion.ids[:-1]) == "north."
    assert (sample.text, sample.trace.answer, sample.trace.correct) == (
        "Thus, the answer is north.",
        "north",
        True,
    )
    assert sample.trace.num_tokens == len(sample.completion.ids)
    assert encoder.show(group.prompt_ids) == f"{group.problem.prompt}Thus, the answer is "


def test_a_thought_that_the_prompt_opened_is_read_as_one(spec: WorkerSpec) -> None:
    """The model writes "Thus, the answer is north." and never closes the thought."""
    encoder = replace(spec.encoder, thinking=Thinking(), given_thought="<think>")
    for given, answer in (("<think>", None), ("", "north")):
        worker = make_worker(replace(spec, encoder=replace(encoder, given_thought=given)))
        sample = worker.rollout([request(spec)]).groups[0].samples[0]
        assert (sample.text, sample.trace.answer) == ("Thus, the answer is north.", answer)


def test_a_continuation_is_read_and_scored_whole(spec: WorkerSpec) -> None:
    """The prefix ends inside a line."""
    worker, asked = spec.build(), request(spec)
    text = f"{spec.env.full_trace(spec.env.problem(Split.TRAIN, asked.index))[0]}\nThus, "
    prefix = spec.encoder.encode(text)
    sampling = Sampling(temperature=1.0, max_new_tokens=len(prefix) + 6)
    with closing(worker):
        (group,) = worker.rollout([replace(asked, prefix_ids=prefix)], sampling).groups
    for sample in group.samples:
        completion = sample.completion
        assert completion.ids[: len(prefix)] == prefix and completion.num_given == len(prefix)
        assert len(completion.ids) == sample.trace.num_tokens <= len(prefix) + 6
        assert len(completion.logprobs) == len(completion.ids) - len(prefix) > 0
        assert sample.text.startswith(text) and sample.trace.steps[0].text == text.split("\n")[0]
    assert group.prompt_ids == spec.encoder.encode_prompt(group.problem)


def test_continuations_have_draws_of_their_own(spec: WorkerSpec) -> None:
    """No continuation repeats the sample that its prefix is from; two prefixes share their draws by default."""
    plain, empty, short, long = (replace(request(spec), prefix_ids=ids) for ids in (None, (), (5,), (5, 6)))
    for one in (empty, long):
        assert [sample_seed(short, s) for s in range(4)] == [sample_seed(one, s) for s in range(4)]
    assert not {sample_seed(plain, s) for s in range(4)} & {sample_seed(short, s) for s in range(4)}
    assert sample_seed(replace(short, group_id=9), 0) != sample_seed(short, 0)


def test_a_prefix_that_has_ended_is_refused(spec: WorkerSpec) -> None:
    worker, stop = make_worker(spec), spec.encoder.stop_ids[0]
    for prefix in ((5, 6, stop), (5, stop, 6)):
        with pytest.raises(
            PrefixError, match=r"token \d of the prefix .*directional/train.* ends a completion"
        ):
            worker.rollout([replace(request(spec), prefix_ids=prefix)])


class BrokenGrader(Directional):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        raise RuntimeError("a bug")


def test_other_errors_are_not_swallowed(spec: WorkerSpec) -> None:
    worker = make_worker(spec)
    worker.env = BrokenGrader(spec.env.settings)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        worker.rollout([request(spec)])


PICKY = """
from rewards import reward

@reward(when_wrong=(0, 0))
def picky(problem, trace):
    if trace.answer == "east":
        raise ValueError("not east")
    return trace.num_tokens / 100 if trace.correct else 0.0
"""


def test_completions_that_a_users_reward_failed_on_are_left_out_and_counted(
    spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picky_rules.py").write_text(PICKY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    worker = make_worker(spec)
    worker.rewards = RewardSum([Term(name="correct", weight=1.0), Term(name="picky_rules:picky", weight=0.5)])
    with closing(worker):
        (group,) = worker.rollout([request(spec)]).groups
        (evaluated,) = worker.rollout([replace(request(spec), evaluation=True)]).groups
    # Evaluation does not call users' rewards, so nothing is left out.
    assert [sample.trace.answer for sample in evaluated.samples] == list(ANSWERS) and not evaluated.ungraded
    assert set(evaluated.samples[0].score.parts) == {"correct"}
    right = group.samples[0]
    assert right.trace.num_tokens == len(right.completion.ids) > 1
    assert right.score.parts["picky_rules:picky"] == pytest.approx(0.5 * right.trace.num_tokens / 100)
    assert [sample.trace.answer for sample in group.samples] == [a for a in ANSWERS if a != "east"]
    assert group.ungraded == ANSWERS.count("east")
    assert group.failure.startswith(
        "reward 'picky_rules:picky' raised ValueError: not east, on directional/train/"
    )


def test_samples_have_the_facts_of_their_lines_where_they_are_asked_for(spec: WorkerSpec) -> None:
    asked = request(spec)
    for wanted in (False, True):
        (group,) = make_worker(spec).rollout([replace(asked, facts=wanted)]).groups
        expected = [
            line_facts(spec.env, group.problem, sample.trace) if wanted else None for sample in group.samples
        ]
        assert [sample.facts for sample in group.samples] == expected
