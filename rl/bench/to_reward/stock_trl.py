"""TRL's own `GRPOTrainer` with its own generation, set to the loss, optimiser and limits of a Stride config.

In: a config and the policy it starts from. Out: a trainer. Its settings are those of Stride's trainer but for
the micro-batches, which TRL makes itself. Its reward function hands the completions to Stride's own worker, so
both contestants are paid by the same code.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig, GRPOTrainer

from configs import Config, ConfigError
from envs import Split
from rl.grpo.arguments import grpo_arguments
from rl.models.policy import Policy
from rl.parts import Parts
from rl.precision import Passes
from rollout.engines.base import Weights
from rollout.types import Completion, FinishReason, GroupRequest, Prompt, Sampling
from rollout.worker import RolloutWorker


class _GivenTokens:
    """Stands in for an engine: its completions are those that TRL sampled."""

    weight_version = 0

    def __init__(self, stop_ids: Sequence[int]) -> None:
        self._stop_ids = stop_ids
        self.rows: list[list[int]] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        rows = iter(self.rows)
        return [[self._completion(next(rows)) for _ in prompt.seeds] for prompt in prompts]

    def _completion(self, ids: list[int]) -> Completion:
        stopped = ids[-1] in self._stop_ids
        return Completion(
            ids=tuple(ids),
            logprobs=(0.0,) * len(ids),
            finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
            weight_version=0,
        )

    def load_weights(self, weights: Weights, version: int) -> None: ...

    def sleep(self) -> bool:
        return False

    def close(self) -> None: ...


class StrideReward:
    """A reward function for TRL: the total reward that Stride gives to the same tokens of the same problem."""

    __name__ = "stride"

    def __init__(self, config: Config, parts: Parts, policy: Policy) -> None:
        """Build a worker around completions that are given.

        Args:
            config: Its `seed` and the limits of `rollout` are used.
            parts: Task and reward.
            policy: Its encoder decodes the completions.
        """
        rollout = config.rollout
        self._seed = config.seed
        self._group = rollout.samples_per_problem
        self._tokens = _GivenTokens(policy.encoder.stop_ids)
        self._worker = RolloutWorker(
            engine=self._tokens,
            encoder=policy.encoder,
            env=parts.env,
            rewards=parts.rewards,
            sampling=Sampling(temperature=rollout.temperature, max_new_tokens=rollout.max_new_tokens),
            max_prompt_tokens=rollout.max_prompt_tokens,
        )

    def __call__(
        self, *, completion_ids: Sequence[list[int]], index: Sequence[int], **kwargs: Any
    ) -> list[float | None]:
        """Rewards of the completions, whole groups one after the other.

        Args:
            completion_ids: Token ids of each completion, the stop token included.
            index: Number of the train problem of each.
            **kwargs: What else TRL gives to a reward function.
        """
        self._tokens.rows = list(completion_ids)
        requests = [
            GroupRequest(
                group_id=problem,
                split=Split.TRAIN,
                index=problem,
                budget=None,
                num_samples=self._group,
                seed=self._seed,
            )
            for problem in index[:: self._group]
        ]
        groups = self._worker.rollout(requests).groups
        rewards: list[float | None] = [sample.score.total for group in groups for sample in group.samples]
        if len(rewards) != len(completion_ids):
            raise RuntimeError(f"{len(completion_ids)} completions got {len(rewards)} rewards")
        return rewards


def stock_trl(
    config: Config,
    parts: Parts,
    policy: Policy,
    *,
    updates: int,
    rows: int,
    folder: Path,
    callbacks: list[TrainerCallback],
) -> GRPOTrainer:
    """TRL's trainer on the train problems in their order.

    Args:
        config: The run; its `grpo` and `rollout` sections are taken over.
        parts: Task and reward.
        policy: The policy to train.
        updates: Updates at most.
        rows: Completions of a micro-batch; see `check_rows`.
        folder: For the trainer; nothing is saved.
        callbacks: Notified of every update.
    """
    assert config.grpo is not None
    num_problems = updates * config.grpo.problems_per_update
    problems = [parts.env.problem(Split.TRAIN, index) for index in range(num_problems)]
    texts = ["".join(piece.text for piece in policy.encoder.prompts.text(problem)) for problem in problems]
    with warnings.catch_warnings():
        trainer = GRPOTrainer(
            model=policy.model,
            reward_funcs=[StrideReward(config, parts, policy)],
            args=trl_arguments(config, updates=updates, rows=rows, folder=folder),
            train_dataset=Dataset.from_dict({"prompt": texts, "index": list(range(num_problems))}),
            processing_class=policy.tokenizer,
            callbacks=callbacks,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def check_rows(config: Config, rows: int) -> None:
    """Refuse micro-batches of TRL that an update cannot be split into.

    Raises:
        ConfigError: Names both numbers.
    """
    assert config.grpo is not None
    completions = config.grpo.problems_per_update * config.rollout.samples_per_problem
    if completions % rows:
        raise ConfigError(f"--trl-rows is {rows}; it must divide the {completions} completions of an update")


def trl_arguments(config: Config, *, updates: int, rows: int, folder: Path) -> GRPOConfig:
    """The settings of Stride's trainer, with TRL's micro-batches and its own advantages."""
    assert config.grpo is not None
    grpo = config.grpo.model_copy(update={"updates": updates})
    arguments = grpo_arguments(
        grpo,
        config.rollout,
        folder=folder,
        seed=config.seed,
        passes=Passes(cpu=True),
        report_to=config.report_to,
    )
    completions = grpo.problems_per_update * config.rollout.samples_per_problem
    arguments.per_device_train_batch_size = rows
    arguments.gradient_accumulation_steps = arguments.steps_per_generation = completions // rows
    arguments.generation_batch_size = completions
    arguments.scale_rewards = grpo.scale_rewards
    arguments.mask_truncated_completions = grpo.mask_truncated
    arguments.save_strategy = SaveStrategy.NO
    return arguments
