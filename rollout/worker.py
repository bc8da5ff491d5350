"""A rollout worker: group requests in, scored groups out.

A plain class that knows nothing of Ray: `pools/local.py` runs one in this process, `pools/ray_actor.py` one in
each actor. A `WorkerSpec` holds everything a worker is built from and is sent to each actor once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from envs import Env, GraderError, Problem, Trace
from envs.line_facts import LineFacts, line_facts
from envs.own import draw_problem, is_own, own_fault
from envs.seeding import derive_seed
from rewards import Score, Scorer, UnscoredError
from rollout.continuations import with_values
from rollout.encoder import Encoder
from rollout.engines.base import Engine, Weights
from rollout.engines.spec import EngineSpec
from rollout.read_trace import read_trace
from rollout.types import (
    Batch,
    Completion,
    FinishReason,
    GroupRequest,
    PrefixError,
    Prompt,
    PromptTooLongError,
    RolloutGroup,
    Sample,
    Sampling,
)


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """Everything a worker needs; it can be pickled, so it travels to actors.

    Attributes:
        engine: What samples the tokens.
        encoder: Text to ids and back.
        env: Makes the problems and checks the traces. It is built once a run, and its data travels with it.
        rewards: Scores the traces.
        sampling: Temperature and length limit of training.
        max_prompt_tokens: Longest prompt accepted, in tokens.
        others: Further environments by name, whose problems a request may ask for.
    """

    engine: EngineSpec
    encoder: Encoder
    env: Env[Any]
    rewards: Scorer
    sampling: Sampling
    max_prompt_tokens: int
    others: Mapping[str, Env[Any]] = field(default_factory=dict)

    def build(self) -> RolloutWorker:
        """Make a worker with an engine of its own.

        Raises:
            VllmError: vLLM is not installed, or cannot run this model.
        """
        return RolloutWorker(
            engine=self.engine.build(),
            encoder=self.encoder,
            env=self.env,
            rewards=self.rewards,
            sampling=self.sampling,
            max_prompt_tokens=self.max_prompt_tokens,
            others=self.others,
        )


class RolloutWorker:
    """Samples, parses, checks and scores groups."""

    def __init__(
        self,
        *,
        engine: Engine,
        encoder: Encoder,
        env: Env[Any],
        rewards: Scorer,
        sampling: Sampling,
        max_prompt_tokens: int,
        others: Mapping[str, Env[Any]] | None = None,
    ) -> None:
        self.engine = engine
        self.encoder = encoder
        self.env = env
        self.rewards = rewards
        self.sampling = sampling
        self.max_prompt_tokens = max_prompt_tokens
        self.others: Mapping[str, Env[Any]] = others or {}

    def load_weights(self, weights: Weights, version: int) -> None:
        """See `Engine.load_weights`."""
        self.engine.load_weights(weights, version)

    def sleep(self) -> bool:
        """See `Engine.sleep`."""
        return self.engine.sleep()

    def close(self) -> None:
        """Close the engine, and end the processes of users' rewards."""
        self.rewards.close()
        self.engine.close()

    def rollout(self, requests: Sequence[GroupRequest], sampling: Sampling | None = None) -> Batch:
        """Sample the requested groups in one engine call.

        Args:
            requests: The groups.
            sampling: Replaces the worker's sampling, for evaluation.

        Raises:
            PromptTooLongError: A prompt is over the limit; names the problem, its length and the limit.
        """
        envs = [self._env_of(request) for request in requests]
        problems = [
            env.with_budget(draw_problem(env, request.split, request.index), request.budget)
            for env, request in zip(envs, requests, strict=True)
        ]
        return self.answer(requests, problems, sampling)

    def answer(
        self, requests: Sequence[GroupRequest], problems: Sequence[Problem], sampling: Sampling | None = None
    ) -> Batch:
        """Sample groups for given problems, which need not be in a split of the environment.

        Args:
            requests: How often to sample each problem, and with which seed.
            problems: The problems, as many as requests.
            sampling: Overrides the worker's.

        Raises:
            PromptTooLongError: A prompt is over the limit; names the problem, its length and the limit.
        """
        started = time.perf_counter()
        prompts = [self.prompt(problem, request) for problem, request in zip(problems, requests, strict=True)]
        sampling = sampling or self.sampling
        completions = self.engine.generate(prompts, sampling)
        sampled = time.perf_counter()
        groups = tuple(
            self._read(request, problem, prompt, group)
            for request, problem, prompt, group in zip(requests, problems, prompts, completions, strict=True)
        )
        read = time.perf_counter()
        groups = with_values(
            requests,
            groups,
            self.encoder,
            max_new_tokens=sampling.max_new_tokens,
            answer=lambda asked: self._continued(asked, problems, sampling),
        )
        continued_s = time.perf_counter() - read
        return Batch(groups=groups, sample_s=sampled - started + continued_s, score_s=read - sampled)

    def _continued(
        self, asked: Sequence[tuple[int, GroupRequest]], problems: Sequence[Problem], sampling: Sampling
    ) -> list[RolloutGroup]:
        """Sample continuations, in one engine call; each request has the place of its problem."""
        prompts = [self.prompt(problems[place], request) for place, request in asked]
        completions = self.engine.generate(prompts, sampling)
        return [
            self._read(request, problems[place], prompt, group)
            for (place, request), prompt, group in zip(asked, prompts, completions, strict=True)
        ]

    def prompt(self, problem: Problem, request: GroupRequest) -> Prompt:
        """The engine's prompt for a problem.

        Raises:
            PromptTooLongError: It is over the limit; names the problem, its length and the limit.
            PrefixError: The prefix to continue has already ended.
        """
        ids = self.encoder.encode_prompt(problem)
        if len(ids) > self.max_prompt_tokens:
            raise PromptTooLongError(
                f"the prompt of {problem.env}/{problem.split}/{problem.index} has {len(ids)} tokens, over "
                f"rollout.max_prompt_tokens ({self.max_prompt_tokens}); raise that or make env.settings easier"
            )
        prefix = request.prefix_ids or ()
        for place, token in enumerate(prefix):
            if token in self.encoder.stop_ids:
                raise PrefixError(
                    f"token {place + 1} of the prefix to continue on "
                    f"{problem.env}/{problem.split}/{problem.index} is {self.encoder.show([token])!r}, which "
                    "ends a completion; give the tokens before it"
                )
        seeds = tuple(sample_seed(request, sample) for sample in range(request.num_samples))
        return Prompt(ids=ids, seeds=seeds, prefix_ids=prefix)

    def _read(
        self, request: GroupRequest, problem: Problem, prompt: Prompt, completions: Sequence[Completion]
    ) -> RolloutGroup:
        graded: list[tuple[Completion, str, Trace, tuple[LineFacts, ...] | None]] = []
        failure = ""
        for completion in completions:
            text = self.encoder.decode(completion.ids)
            truncated = completion.finish_reason is FinishReason.LENGTH
            try:
                trace, facts = self._judge(request, problem, text, truncated=truncated)
            except GraderError as error:
                failure = str(error)
            else:
                graded.append((completion, text, replace(trace, num_tokens=len(completion.ids)), facts))
        scores: list[Score] = []
        while graded and not scores:
            traces = [trace for _, _, trace, _ in graded]
            try:
                scores = self.rewards(problem, traces, request.history, user_rewards=not request.evaluation)
            except UnscoredError as error:
                # Group rewards depend on all samples, so the remaining ones are scored again.
                failure = str(error)
                graded = [kept for place, kept in enumerate(graded) if place not in error.failures]
        samples = tuple(
            Sample(completion=completion, text=text, trace=trace, score=score, facts=facts)
            for (completion, text, trace, facts), score in zip(graded, scores, strict=True)
        )
        return RolloutGroup(
            group_id=request.group_id,
            problem=problem,
            prompt_ids=prompt.ids,
            samples=samples,
            ungraded=len(completions) - len(samples),
            failure=failure,
        )

    def _env_of(self, request: GroupRequest) -> Env[Any]:
        return self.others[request.env] if request.env else self.env

    def _judge(
        self, request: GroupRequest, problem: Problem, text: str, *, truncated: bool
    ) -> tuple[Trace, tuple[LineFacts, ...] | None]:
        """The judged trace, and the facts of its lines if they are asked for.

        Raises:
            GraderError: It could not be judged: the grader failed, or a user's environment raised.
        """
        env = self._env_of(request)
        part = env.part_of(problem)
        try:
            trace = env.check(problem, read_trace(part, self.encoder, text, truncated=truncated))
            return trace, line_facts(env, problem, trace) if request.facts else None
        except GraderError:
            raise
        except Exception as error:
            if not is_own(part):
                raise
            where = f"{problem.env}/{problem.split}/{problem.index}"
            raise GraderError(f"{own_fault(part, error)}, on {where}, text {text[:60]!r}") from None


def sample_seed(request: GroupRequest, sample: int) -> int:
    """Seed of one sample: a hash of what it is for, so every worker samples the same tokens.

    Continuations of a prefix have seeds of their own, so none repeats the sample that the prefix is from. The
    prefix itself is not in the hash: with the same group id, the continuations of two prefixes of one problem
    have the same random number at the same place of a completion (common random numbers), which takes noise
    out of the difference between them. For independent ones, give each prefix its own group id.
    """
    what = "sample" if request.prefix_ids is None else "continuation"
    where = (request.env, request.split.value) if request.env else (request.split.value,)
    return derive_seed(request.seed, what, *where, request.index, request.group_id, sample)
