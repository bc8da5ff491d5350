"""Groups whose samples are texts of the directional problem, with the facts of their lines, a token for each
byte."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from envs import make_example
from envs.line_facts import line_facts
from rewards import RewardSum, Term
from rl.grpo.advantages import group_advantages
from rl.grpo.credit.credit import StepCredit
from rl.grpo.credit.rule import Rule
from rl.grpo.micro_batches import Advantage
from rollout.encoder import make_encoder
from rollout.step_boundaries import step_spans
from rollout.types import Completion, FinishReason, RolloutGroup, Sample
from tests.kit.byte_tokenizer import byte_tokenizer
from tests.kit.directional import TURNS
from tests.kit.problems import check_text
from tests.kit.rollouts import make_group

ENV = make_example("directional")
ENCODER = make_encoder(byte_tokenizer())
RIGHT = RewardSum([Term(name="correct", weight=1.0)])


def credit_group(
    texts: Sequence[str],
    rewards: RewardSum = RIGHT,
    *,
    logprobs: Sequence[Sequence[float]] = (),
    number: int = 0,
) -> RolloutGroup:
    """A group of these completions, stop token included.

    Args:
        texts: The completions.
        rewards: Scores them.
        logprobs: The log-probability of the tokens of each line and of the closing one, by sample; empty: -0.5.
        number: Of the group.
    """
    traces = [check_text(TURNS, text) for text in texts]
    samples = []
    for place, (text, trace, score) in enumerate(zip(texts, traces, rewards(TURNS, traces), strict=True)):
        ids = (*ENCODER.encode(text), *ENCODER.stop_ids)
        of_tokens = [-0.5] * len(ids)
        if logprobs:
            spans = step_spans(ENCODER, ids, trace)
            for (start, end), value in zip([*spans, (spans[-1][1], len(ids))], logprobs[place], strict=True):
                of_tokens[start:end] = [value] * (end - start)
        completion = Completion(
            ids=ids, logprobs=tuple(of_tokens), finish_reason=FinishReason.STOP, weight_version=0
        )
        facts = line_facts(ENV, TURNS, trace)
        samples.append(Sample(completion=completion, text=text, trace=trace, score=score, facts=facts))
    return make_group(TURNS, samples, number=number)


def credit_of(rule: Rule, group: RolloutGroup) -> list[Advantage]:
    """The advantages of the tokens of a group whose rewards are not scaled."""
    return StepCredit(rule, ENV, ENCODER)(group, sequence_advantages(group))


def sequence_advantages(group: RolloutGroup) -> list[float]:
    """The advantages of the samples of a group."""
    return list(group_advantages(torch.tensor(group.rewards, dtype=torch.float64)).tolist())


def by_line(group: RolloutGroup, credit: Sequence[Advantage]) -> list[list[float]]:
    """The advantage of each line and of the closing one, by sample; all tokens of one must have the same."""
    found = []
    for sample, advantage in zip(group.samples, credit, strict=True):
        ids = sample.completion.ids
        tokens = advantage if isinstance(advantage, tuple) else (advantage,) * len(ids)
        spans = step_spans(ENCODER, ids, sample.trace)
        row = []
        for start, end in [*spans, (spans[-1][1] if spans else 0, len(ids))]:
            assert len(set(tokens[start:end])) == 1
            row.append(tokens[start])
        found.append(row)
    return found
