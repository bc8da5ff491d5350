"""Step credit: from the advantages of samples to those of their tokens, by the kind that the config names.

::

    rewards -> advantage of each sample -> step credit -> advantage of each token

In: a scored group whose samples have the facts of their lines. Out: for each sample an advantage for each of
its tokens, or one number where they are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch

from configs.schema.config import GrpoConfig
from configs.schema.credit import CreditConfig
from envs import Env, Problem
from envs.line_facts import state_number
from rewards import RewardSum
from rl.grpo.advantages import EPSILON
from rl.grpo.credit.answer_logprobs import step_importances
from rl.grpo.credit.decs import decs_credit
from rl.grpo.credit.monte_carlo import monte_carlo_credit
from rl.grpo.credit.parts import parts_credit
from rl.grpo.credit.progress import progress_credit
from rl.grpo.credit.rule import CreditGroup, Rule, Span
from rl.grpo.credit.same_state import same_state_credit
from rl.grpo.credit.sas import sas_credit
from rl.grpo.credit.swap import pays_for_length, swap_credit
from rl.grpo.micro_batches import Advantage
from rl.grpo.old_policy import Score
from rollout.encoder import Encoder
from rollout.source import rewards_differ, zero_signal_cause
from rollout.step_boundaries import step_spans
from rollout.types import Continuations, RolloutGroup

_NONE = 1e-9  # advantages of this size are rounding


class StepCredit:
    """Gives the advantages of tokens by one rule."""

    def __init__(
        self,
        rule: Rule,
        env: Env[Any],
        encoder: Encoder,
        *,
        scale_rewards: Literal["none", "group", "batch"] = "none",
        reads_policy: bool = False,
    ) -> None:
        """Keep the rule.

        Args:
            rule: The kind of credit.
            env: The task, which says where a problem starts.
            encoder: Says which tokens are which line.
            scale_rewards: What the deviations are of.
            reads_policy: Whether the rule reads the importances of steps.
        """
        self.reads_policy = reads_policy
        self._importances: dict[int, list[list[float]]] = {}
        self._rule = rule
        self._env = env
        self._encoder = encoder
        self._scale_rewards = scale_rewards

    def read_policy(
        self, groups: Sequence[RolloutGroup], learner: Score, *, max_tokens: int, device: torch.device
    ) -> None:
        """See `Credit.read_policy`."""
        found = step_importances(
            groups,
            self._env,
            self._encoder,
            learner,
            wanted=[pays_for_length(group) for group in groups],
            max_tokens=max_tokens,
            device=device,
        )
        self._importances = {group.group_id: one for group, one in zip(groups, found, strict=True)}

    def spans(self, group: RolloutGroup) -> list[tuple[Span, ...]]:
        """See `Credit`."""
        return [step_spans(self._encoder, s.completion.ids, s.trace) for s in group.samples]

    def __call__(
        self, group: RolloutGroup, advantages: Sequence[float], deviation: float | None = None
    ) -> list[Advantage]:
        """See `Credit`."""
        divisor = 1.0 if deviation is None else deviation + EPSILON
        of_batch = self._scale_rewards == "batch" and deviation is not None and deviation > EPSILON
        scale = divisor if of_batch else 1.0
        found = self._rule(
            CreditGroup(
                group=group,
                spans=self.spans(group),
                start=self._start(group.problem),
                advantages=advantages,
                importances=self._importances.get(group.group_id, ()),
                divisor=divisor if rewards_differ(group.rewards) else scale,
                scale=scale,
            )
        )
        return [row[0] if len(set(row)) == 1 else tuple(row) for row in found]

    def zero_signal(self, group: RolloutGroup) -> str | None:
        """Why a group has no gradient; None where its rewards differ, or its lines get credit all the same."""
        cause = zero_signal_cause(group)
        if cause is None or len(group.samples) < 2:
            return cause
        credit = self(group, [0.0] * len(group.samples))
        return None if any(abs(value) > _NONE for row in credit for value in _flat(row)) else cause

    def _start(self, problem: Problem) -> int:
        return state_number(self._env.start(problem)) if self._env.part_of(problem).checks_steps else 0


def continuations(settings: CreditConfig) -> Continuations | None:
    """The continuations of samples that the credit reads."""
    if settings.name != "monte_carlo":
        return None
    return Continuations(num=settings.option("continuations"), every=settings.option("segment"))


def make_credit(
    settings: GrpoConfig, rewards: RewardSum, env: Env[Any], encoder: Encoder, *, max_length: int
) -> StepCredit | None:
    """The step credit of a run; None: every token gets the advantage of its completion.

    Args:
        settings: The section `grpo`.
        rewards: The rewards of the run.
        env: Its task.
        encoder: Of the policy.
        max_length: Length limit of a completion in tokens.
    """
    credit = settings.credit
    rule: Rule | None = None
    match credit.name:
        case "parts":
            rule = partial(parts_credit, prices=rewards.priced_lines)
        case "progress":
            rule = partial(progress_credit, weight=credit.option("weight"), dead_end=credit.option("dead_end"))
        case "same_state":
            rule = partial(
                same_state_credit,
                weight=credit.option("weight"),
                discount=credit.option("discount"),
                own_deviation=settings.scale_rewards == "group",
            )
        case "monte_carlo":
            rule = partial(monte_carlo_credit, own_deviation=settings.scale_rewards == "group")
        case "decs":
            rule = partial(
                decs_credit,
                beta=credit.option("weight"),
                max_length=max_length,
                own_deviation=settings.scale_rewards == "group",
            )
        case "sas":
            rule = partial(sas_credit, share=credit.option("share"))
        case "swap":
            rule = partial(swap_credit, weight=credit.option("weight"))
    if rule is None:
        return None
    return StepCredit(
        rule,
        env,
        encoder,
        scale_rewards=settings.scale_rewards,
        reads_policy=credit.name == "swap",
    )


def _flat(advantage: Advantage) -> tuple[float, ...]:
    return advantage if isinstance(advantage, tuple) else (advantage,)
