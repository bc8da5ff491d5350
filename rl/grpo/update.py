"""One GRPO update: rollouts in; advantages, micro-batches and metrics out.

::

    publish weights -> rollout batch -> advantages -> micro-batches -> (loss, optimiser: the trainer)

The advantage of a completion is its reward minus the mean of its group (GRPO, arXiv 2402.03300, section 4.1.2),
divided by a standard deviation where `grpo.scale_rewards` says so; `grpo.credit` may give its tokens advantages
of their own (`credit/`). Unless `grpo.importance_sampling_mode` is set, the sampler's log-probabilities serve
as the old ones of the importance ratio (equation 3 there), so the ratio corrects off-policy data and every
other difference between sampler and learner, and no second forward pass is needed.

Nothing here knows TRL or transformers; `trainer.py` is the adapter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from configs.schema.config import GrpoConfig, RolloutConfig
from rewards.correctness import group_accuracy
from rl.grpo.advantages import AdvantageWeight, group_advantages, reward_deviations, weigh_advantages
from rl.grpo.credit.figures import backtrack_figures, credit_figures
from rl.grpo.credit.rule import Credit
from rl.grpo.decoupled import decoupled_weights
from rl.grpo.logprob_check import LogprobCheck
from rl.grpo.metrics import rollout_metrics
from rl.grpo.micro_batches import Advantage, MicroBatch, make_micro_batches, make_rows, useful_frac
from rl.grpo.old_policy import Score, apply_old_policy, reads_old_policy
from rl.grpo.zero_signal import ZeroSignalWatch
from rl.pass_cuts import CPU_TOKENS, GPU_TOKENS
from rollout.engines.base import Weights
from rollout.pools.base import RolloutPool
from rollout.source import GroupSource, RolloutBatch
from rollout.stream import AheadBatch, Delivery, RolloutStream
from rollout.types import RolloutGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateBatch:
    """The data of one update, or of the `grpo.num_iterations` updates that train on it.

    Attributes:
        micro_batches: Tensors with the keys TRL's loss reads; see `make_micro_batches`.
        metrics: Numbers of the rollouts by name.
    """

    micro_batches: list[MicroBatch]
    metrics: dict[str, float]


class Updates:
    """Makes the updates of a run, in order, and keeps the state a checkpoint must hold.

    Attributes:
        config: The `grpo` section.
        state: The source's, after the last rollout batch given out, as plain JSON.
        on_policy: Whether that batch was sampled with the weights it was first trained with.
    """

    def __init__(
        self,
        source: GroupSource,
        pool: RolloutPool,
        config: GrpoConfig,
        rollout: RolloutConfig,
        *,
        pad_id: int,
        on_rollouts: Callable[[int, RolloutBatch, Mapping[int, Sequence[Advantage]]], None],
        advantage_weight: AdvantageWeight | None = None,
        decoupled: float | None = None,
        credit: Credit | None = None,
        float32: bool = True,
        warn: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Set up; nothing is sampled yet.

        Args:
            source: Hands out groups.
            pool: Receives the weights.
            config: The `grpo` section.
            rollout: The `rollout` section.
            pad_id: Fills rows.
            on_rollouts: Called before an update with its number, its rollout batch and the advantages of the
                groups it is trained on, by group.
            advantage_weight: Weighs advantages by the accuracy of their group.
            decoupled: Temperature of `decoupled_weights`; None: advantages are those of the total rewards.
            credit: Gives the tokens of a completion advantages of their own; None: they get that of the
                completion.
            float32: Whether sampler and learner both compute in float32.
            warn: Called with one line where updates have no signal, or where sampler and learner disagree.
            clock: Seconds.
        """
        self._source = source
        self._stream = RolloutStream(
            source, pool, num_groups=config.problems_per_update, max_staleness=rollout.max_staleness
        )
        self.state = source.state()
        self.config = config
        self._max_length = rollout.max_new_tokens
        self._advantage_weight = advantage_weight
        self._decoupled = decoupled
        self._credit = credit
        self._pad_id = pad_id
        self._on_rollouts = on_rollouts
        self._watch = ZeroSignalWatch(warn)
        self._clock = clock
        self._ended_at = clock()
        self._prepare_s = 0.0
        self._logprobs = LogprobCheck(config.max_logprob_diff, float32=float32, warn=warn)
        self.on_policy = True

    @property
    def ahead(self) -> tuple[AheadBatch, ...]:
        """What the next rollout batches are sampled with, for a checkpoint."""
        return self._stream.ahead

    def restore(
        self, state: Mapping[str, Any], ahead: Sequence[AheadBatch] = (), *, on_policy: bool = True
    ) -> None:
        """Continue from what `state`, `ahead` and `on_policy` were when a checkpoint was written."""
        self._source.restore(state)
        self._stream.restore(ahead)
        self.state, self.on_policy = self._source.state(), on_policy

    def between(
        self, weights: Weights, update: int, work: Callable[[int], dict[str, float]]
    ) -> dict[str, float]:
        """Evaluate the weights after an update with the pool; its time counts as no update's.

        Args:
            weights: The learner's, as they are now.
            update: Updates done so far.
            work: Evaluates what the pool holds, given `update`.

        Raises:
            Exception: Whatever publishing or `work` raised.
        """
        figures = self._stream.between(weights, update, partial(work, update))
        self._ended_at = self._clock()
        return figures

    def close(self) -> None:
        """Sample nothing further."""
        self._stream.close()

    def next(
        self,
        weights: Weights,
        update: int,
        *,
        device: torch.device,
        learner: Score | None = None,
        reference: Callable[[MicroBatch], torch.Tensor] | None = None,
    ) -> UpdateBatch:
        """Sample the next rollout batch with these weights and make it ready to train on.

        Args:
            weights: The learner's, as they are now.
            update: Updates done so far, which is the version of the weights.
            device: Where the tensors go.
            learner: A forward pass of the learner, which some options need before the update.
            reference: Gives a micro-batch's log-probabilities [B, T] under the reference model; None without
                a KL term.

        Raises:
            StalledError: No rollout batch had a signal for many updates.
            Exception: Whatever publishing or sampling raised.
        """
        started = self._clock()
        delivery = self._stream.next(weights, update, left=self._batches_left(update))
        rollouts, self.state = delivery.rollouts, delivery.state
        sampled = self._clock()
        # Without a signal the update still takes place, on a group whose advantages are all 0.
        groups = rollouts.useful or [group for group in rollouts.sampled if group.samples][:1]
        left_open = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
        max_tokens = self.config.micro_batch_tokens or left_open
        credit = self._credit if rollouts.useful else None
        if credit is not None and credit.reads_policy:
            assert learner is not None
            credit.read_policy(groups, learner, max_tokens=max_tokens, device=device)
        advantages, credit_metrics = self._advantages(groups, credit)
        self._on_rollouts(
            update + 1, rollouts, {g.group_id: row for g, row in zip(groups, advantages, strict=True)}
        )
        self._watch.add(rollouts)
        num_rows = sum(len(group.samples) for group in groups)
        rows = make_rows(groups, advantages, mask_truncated=self.config.mask_truncated)
        batches = make_micro_batches(
            rows or make_rows(groups[:1], advantages[:1])[:1],
            max_tokens,
            pad_id=self._pad_id,
            loss_type=self.config.loss_type,
            max_length=self._max_length,
            device=device,
            num_rows=num_rows,
        )
        if not rows:  # all were cut off: the update takes place on one of them, without any loss
            for key in ("advantages", "loss_weights", "entropy_weights"):
                batches[0][key].zero_()
        old_policy: dict[str, float] = {}
        if reads_old_policy(self.config):
            assert learner is not None
            old_policy = apply_old_policy(batches, learner, self.config)
        if reference is not None:
            for batch in batches:
                batch["ref_per_token_logps"] = reference(batch)
        prepared = self._clock()
        self._prepare_s += prepared - started
        delivery_metrics = _delivery_metrics(delivery, update)
        self.on_policy = delivery_metrics["staleness/max"] == 0
        metrics = {
            **rollout_metrics(rollouts, self.config.problems_per_update),
            **delivery_metrics,
            **old_policy,
            **credit_metrics,
            "masked_truncated": float(num_rows - len(rows)),
            "seconds/wait": sampled - started,
            "seconds/prepare": prepared - sampled,
            "useful_positions": useful_frac(batches),
            "cursor": float(self.state["cursor"]),
        }
        return UpdateBatch(micro_batches=batches, metrics=metrics)

    def compare_logprobs(
        self, new_BT: torch.Tensor, old_BT: torch.Tensor, mask_BT: torch.Tensor, *, same: bool
    ) -> None:
        """Note the learner's log-probabilities beside the sampler's; see `LogprobCheck.add`."""
        self._logprobs.add(new_BT, old_BT, mask_BT, same=same)

    def finish(self, update: int) -> dict[str, float]:
        """End an update: its seconds, and how far sampler and learner were apart if that was compared.

        Args:
            update: Its number, from 1.

        Raises:
            LogprobMismatchError: They differ by more than `grpo.max_logprob_diff`.
            NotFiniteError: One of them is NaN or infinite.
        """
        now = self._clock()
        total = now - self._ended_at
        metrics = {"seconds/update": total - self._prepare_s, "seconds/total": total}
        self._ended_at, self._prepare_s = now, 0.0
        return {**metrics, **self._logprobs.take(update, on_policy=self.on_policy)}

    def _advantages(
        self, groups: Sequence[RolloutGroup], credit: Credit | None
    ) -> tuple[list[list[Advantage]], dict[str, float]]:
        """Advantages of samples or their tokens, by group, and figures of where they fall."""
        compared = [group.rewards if self._decoupled is None else group.right for group in groups]
        rewards = [torch.tensor(values, dtype=torch.float64) for values in compared]
        deviations = reward_deviations(rewards, self.config.scale_rewards)
        of_samples: list[list[float]] = []
        for group, rewards_G, deviation in zip(groups, rewards, deviations, strict=True):
            advantages_G = group_advantages(rewards_G, deviation=deviation)
            if self._decoupled is not None:
                totals_G = torch.tensor(group.rewards, dtype=torch.float64)
                advantages_G *= decoupled_weights(
                    totals_G, torch.tensor(group.right), temperature=self._decoupled
                )
            of_samples.append(advantages_G.tolist())
        advantages: list[list[Advantage]] = [[*row] for row in of_samples]
        figures: dict[str, float] = {}
        if credit is not None:
            groups_with = zip(groups, of_samples, deviations, strict=True)
            advantages = [credit(*one) for one in groups_with]
            figures = credit_figures(of_samples, advantages)
        if self._advantage_weight is not None:
            for group, row in zip(groups, advantages, strict=True):
                accuracy = group_accuracy([sample.trace for sample in group.samples])
                row[:] = [self._weighed(advantage, accuracy) for advantage in row]
        figures |= backtrack_figures(groups, advantages, None if credit is None else credit.spans)
        return advantages, figures

    def _weighed(self, advantage: Advantage, accuracy: float) -> Advantage:
        assert self._advantage_weight is not None
        by_token = isinstance(advantage, tuple)
        values = torch.tensor(advantage if by_token else [advantage], dtype=torch.float64)
        weighed = tuple(weigh_advantages(values, accuracy, self._advantage_weight).tolist())
        return weighed if by_token else weighed[0]

    def _batches_left(self, update: int) -> int:
        """Rollout batches up to the end."""
        return (self.config.updates - update) // self.config.num_iterations


def _delivery_metrics(delivery: Delivery, update: int) -> dict[str, float]:
    """Staleness, seconds and speed of a rollout batch, continuations included."""
    groups = delivery.rollouts.sampled
    completions = [sample.completion for group in groups for sample in group.samples]
    staleness = [update - completion.weight_version for completion in completions]
    tokens = sum(len(completion.ids) for completion in completions) + sum(g.extra_tokens for g in groups)
    return {
        "staleness/mean": sum(staleness) / len(staleness),
        "staleness/max": max(staleness),
        "seconds/publish": delivery.publish_s,
        "seconds/rollout": delivery.rollout_s,
        "seconds/score": delivery.rollouts.score_s,
        "tokens_per_s": tokens / delivery.rollout_s,
    }


def combine_figures(name: str, values: Sequence[float], tokens: Sequence[int]) -> float:
    """The figure of an update from those of its micro-batches: a sum, minimum, maximum or mean over tokens.

    Args:
        name: TRL's name of the figure, which says how it is combined.
        values: One per micro-batch.
        tokens: Completion tokens of each micro-batch.
    """
    if name == "step_time" or name.endswith("_tokens"):
        return sum(values)
    if name.endswith(("_min", "_max")):
        return (min if name.endswith("_min") else max)(values)
    return sum(value * share for value, share in zip(values, tokens, strict=True)) / sum(tokens)
