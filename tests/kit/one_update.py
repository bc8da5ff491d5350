"""Updates of the learner on groups written by hand: P groups of G random completions of one tiny policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from configs.schema.config import GrpoConfig, LoraSettings, RolloutConfig
from envs import Split, make_env
from rl.grpo.arguments import grpo_arguments
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.models.policy import Policy
from rl.precision import Passes
from rollout.types import RolloutGroup
from tests.kit.causal_models import full_forward
from tests.kit.rollouts import make_batch, make_group, make_sample, make_score
from tests.kit.scripted_pool import RecordingPool, ScriptedSource
from tests.kit.tiny_policy import tiny_policy

ENV = make_env("directional", {"train": [3], "ood_easy": [4], "ood_hard": [5]})
P, G = 3, 4


def make_policy(saved_to: Path | None = None, *, lora: LoraSettings | None = None) -> Policy:
    """A tiny policy with the same weights at every call."""
    return tiny_policy(ENV, seed=1, lora=lora, saved_to=saved_to)


def make_groups(
    policy: Policy, *, shift: float = 0.0, rewards: list[list[float]] | None = None
) -> list[RolloutGroup]:
    """P groups of G random completions of lengths 1 to 12; the sampler's logprobs are the policy's, shifted."""
    generator = torch.Generator().manual_seed(5)
    groups = []
    for p in range(P):
        problem = ENV.problem(Split.TRAIN, p)
        prompt = policy.encoder.encode_prompt(problem)[p:]  # prompts of different lengths
        samples = []
        for g in range(G):
            length = int(torch.randint(1, 13, (), generator=generator))
            ids = tuple(torch.randint(3, len(policy.tokenizer), (length,), generator=generator).tolist())
            with torch.no_grad():
                logprobs = tuple((full_forward(policy.model, prompt, ids) - shift).tolist())
            reward = rewards[p][g] if rewards else float(torch.rand((), generator=generator))
            samples.append(make_sample(make_score(reward), ids=ids, logprobs=logprobs))
        groups.append(make_group(problem, samples, number=p, prompt_ids=prompt))
    return groups


class Logs(TrainerCallback):
    """The rows that an update logs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.rows.append(dict(logs))


def run(
    policy: Policy,
    groups: list[RolloutGroup],
    folder: Path,
    passes: Passes = Passes(cpu=True),  # noqa: B008 - frozen
    **config: Any,
) -> tuple[list[dict[str, float]], RecordingPool]:
    """Train the policy on the groups, for one update by default; returns the logged rows and the pool."""
    pool, logs = RecordingPool(), Logs()
    settings: dict[str, Any] = {
        "updates": 1,
        "problems_per_update": P,
        "learning_rate": 1e-3,
        "max_grad_norm": 1e9,
        "max_logprob_diff": None,  # tests shift the sampler's
    }
    grpo, rollout = GrpoConfig(**{**settings, **config}), RolloutConfig(samples_per_problem=G)
    updates = Updates(
        ScriptedSource(make_batch(*groups)),  # type: ignore[arg-type]
        pool,
        grpo,
        rollout,
        pad_id=policy.encoder.pad_id,
        on_rollouts=lambda update, rollouts, advantages: None,
    )
    arguments = grpo_arguments(grpo, rollout, folder=folder, seed=0, passes=passes, report_to=[])
    StrideTrainer(policy, updates, arguments, [logs]).run()
    return logs.rows, pool
