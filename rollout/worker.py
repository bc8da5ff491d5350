"""A rollout worker: orders for groups in, scored groups out.

A plain class that knows nothing of Ray: `pool.py` runs one in this process, `ray_pool.py` wraps one in each
actor. A `WorkerSpec` holds all it is made of and travels to actors once.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from envs import Env, GraderError, Problem, Trace, make_env
from envs.seeding import derive_seed
from rewards import RewardSum, Score, UnscoredError
from rollout.encoder import Encoder
from rollout.engines.base import Engine, Weights
from rollout.engines.cuda_graphs import CudaGraphs
from rollout.engines.embedded import TorchEngine
from rollout.engines.vllm import VllmEngine, VllmRoom
from rollout.types import (
    Batch,
    Completion,
    FinishReason,
    GroupRequest,
    Prompt,
    RolloutGroup,
    Sample,
    Sampling,
)


class PromptTooLongError(ValueError):
    """A problem whose prompt is over the limit."""


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker is made of.

    Attributes:
        model: The engine's own copy of the policy, not the trained one.
        encoder: Text to ids and back.
        env_name: Registered environment.
        env_settings: Its settings.
        rewards: The reward.
        sampling: Temperature and length limit.
        max_prompt_tokens: Longest prompt taken.
        max_rows: Completions sampled at one time; None: all of a batch.
        threads: CPU threads while sampling.
        device: Where the engine's copy lives.
        cuda_graphs: On a GPU, have the embedded engine replay its steps.
        dtype: Of the engine's copy.
        vllm: Sample with vLLM, in this much room; None: with the embedded engine.
    """

    model: torch.nn.Module
    encoder: Encoder
    env_name: str
    env_settings: Mapping[str, Any]
    rewards: RewardSum
    sampling: Sampling
    max_prompt_tokens: int
    max_rows: int | None
    threads: int
    device: str
    cuda_graphs: bool
    dtype: torch.dtype
    vllm: VllmRoom | None = None

    def build(self) -> RolloutWorker:
        """Make a worker with a model of its own.

        Raises:
            VllmError: vLLM is not installed, or cannot run this model.
        """
        return RolloutWorker(
            engine=self._engine(),
            encoder=self.encoder,
            env=make_env(self.env_name, self.env_settings),
            rewards=self.rewards,
            sampling=self.sampling,
            max_prompt_tokens=self.max_prompt_tokens,
        )

    def _engine(self) -> Engine:
        model = copy.deepcopy(self.model).to(dtype=self.dtype)
        if self.vllm is not None:
            return VllmEngine(
                model,
                stop_ids=self.encoder.stop_ids,
                room=self.vllm,
                threads=self.threads,
                device=self.device,
            )
        return TorchEngine(
            model.to(device=self.device),
            stop_ids=self.encoder.stop_ids,
            pad_id=self.encoder.pad_id,
            threads=self.threads,
            max_rows=self.max_rows,
            make_recorder=CudaGraphs if self.cuda_graphs and self.device != "cpu" else None,
        )


class RolloutWorker:
    """Samples, reads, checks and scores groups."""

    def __init__(
        self,
        *,
        engine: Engine,
        encoder: Encoder,
        env: Env[Any],
        rewards: RewardSum,
        sampling: Sampling,
        max_prompt_tokens: int,
    ) -> None:
        self.engine = engine
        self.encoder = encoder
        self.env = env
        self.rewards = rewards
        self.sampling = sampling
        self.max_prompt_tokens = max_prompt_tokens

    def load_weights(self, weights: Weights, version: int) -> None:
        """Take over trained weights."""
        self.engine.load_weights(weights, version)

    def close(self) -> None:
        """Close the engine, and end what users' rewards run in."""
        self.rewards.close()
        self.engine.close()

    def rollout(self, requests: Sequence[GroupRequest], sampling: Sampling | None = None) -> Batch:
        """Sample the requested groups in one engine call.

        Args:
            requests: Which groups.
            sampling: Overrides the worker's, for evaluation.

        Raises:
            PromptTooLongError: A prompt is over the limit; names the problem, its length and the limit.
        """
        started = time.perf_counter()
        problems = [self.env.problem(r.split, r.index, budget=r.budget) for r in requests]
        prompts = [self._prompt(problem, request) for problem, request in zip(problems, requests, strict=True)]
        completions = self.engine.generate(prompts, sampling or self.sampling)
        sampled = time.perf_counter()
        groups = tuple(
            self._read(request, problem, prompt, group)
            for request, problem, prompt, group in zip(requests, problems, prompts, completions, strict=True)
        )
        return Batch(groups=groups, sample_s=sampled - started, score_s=time.perf_counter() - sampled)

    def _prompt(self, problem: Problem, request: GroupRequest) -> Prompt:
        ids = self.encoder.encode_prompt(problem.prompt)
        if len(ids) > self.max_prompt_tokens:
            raise PromptTooLongError(
                f"the prompt of {problem.env}/{problem.split}/{problem.index} has {len(ids)} tokens, over "
                f"rollout.max_prompt_tokens ({self.max_prompt_tokens}); raise that or make env.settings easier"
            )
        seeds = tuple(sample_seed(request, sample) for sample in range(request.num_samples))
        return Prompt(ids=ids, seeds=seeds)

    def _read(
        self, request: GroupRequest, problem: Problem, prompt: Prompt, completions: Sequence[Completion]
    ) -> RolloutGroup:
        graded: list[tuple[Completion, str, Trace]] = []
        failure = ""
        for completion in completions:
            text = self.encoder.decode(completion.ids)
            truncated = completion.finish_reason is FinishReason.LENGTH
            try:
                trace = self.env.check(problem, self.env.parse(text, truncated=truncated))
            except GraderError as error:
                failure = str(error)
            else:
                graded.append((completion, text, replace(trace, num_tokens=len(completion.ids))))
        scores: list[Score] = []
        while graded and not scores:
            traces = [trace for _, _, trace in graded]
            try:
                scores = self.rewards(problem, traces, request.history, own=not request.evaluation)
            except UnscoredError as error:
                # Rewards may look at the whole group, so what is left is scored anew.
                failure = str(error)
                graded = [kept for place, kept in enumerate(graded) if place not in error.failures]
        samples = tuple(
            Sample(completion=completion, text=text, trace=trace, score=score)
            for (completion, text, trace), score in zip(graded, scores, strict=True)
        )
        return RolloutGroup(
            group_id=request.group_id,
            problem=problem,
            prompt_ids=prompt.ids,
            samples=samples,
            ungraded=len(completions) - len(samples),
            failure=failure,
        )


def sample_seed(request: GroupRequest, sample: int) -> int:
    """Seed of one sample: a hash of what it is for, so whoever samples it gets the same tokens."""
    return derive_seed(request.seed, "sample", request.split.value, request.index, request.group_id, sample)
