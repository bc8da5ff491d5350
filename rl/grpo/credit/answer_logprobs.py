"""How likely the right answer is to the policy at each boundary of the steps of its samples.

In: groups, and a forward pass of the learner. Out: for each step how much likelier the closing line with the
right answer is after it than before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from envs import Env
from rl.grpo.micro_batches import Row, make_micro_batches
from rl.grpo.old_policy import Score
from rl.pass_cuts import longest_first
from rollout.encoder import Encoder
from rollout.step_boundaries import step_spans
from rollout.types import RolloutGroup


def step_importances(
    groups: Sequence[RolloutGroup],
    env: Env[Any],
    encoder: Encoder,
    learner: Score,
    *,
    wanted: Sequence[Sequence[bool]] | None = None,
    max_tokens: int,
    device: torch.device,
) -> list[list[list[float]]]:
    """Rise of the log-probability of the right closing line with each step, by group and sample, in nats.

    Args:
        groups: The groups.
        env: Writes the closing line.
        encoder: Of the policy.
        learner: The learner's forward pass.
        wanted: The samples to ask about, by group; the steps of others get nothing. None: all.
        max_tokens: Tokens of a pass, padding included.
        device: Where it runs.
    """
    rows: list[Row] = []
    places: list[list[list[int]]] = []  # of the boundaries of each sample
    for number, group in enumerate(groups):
        ending = encoder.encode_completion(env.part_of(group.problem).demonstrate((), group.problem.answer))
        asked = [True] * len(group.samples) if wanted is None else wanted[number]
        places.append(
            [_boundaries(encoder, one) if ask else [] for one, ask in zip(group.samples, asked, strict=True)]
        )
        rows += [
            Row(
                prompt_ids=(*group.prompt_ids, *sample.completion.ids[:place]),
                ids=ending,
                logprobs=(0.0,) * len(ending),
                advantages=(0.0,) * len(ending),
            )
            for sample, own in zip(group.samples, places[-1], strict=True)
            for place in own
        ]
    logprobs = [0.0] * len(rows)
    if rows:
        batches = make_micro_batches(
            rows, max_tokens, pad_id=encoder.pad_id, loss_type="dapo", max_length=1, device=device
        )
        found: list[float] = []
        for batch in batches:
            found += (learner(batch)[0].double() * batch["completion_mask"]).sum(1).tolist()
        for row, value in zip(longest_first([row.length for row in rows]), found, strict=True):
            logprobs[row] = value
    values = iter(logprobs)
    return [
        [[after - before for before, after in pairwise([next(values) for _ in own])] for own in of_group]
        for of_group in places
    ]


def _boundaries(encoder: Encoder, sample: Any) -> list[int]:
    """Tokens before each step, and before what follows the last one; none without a step."""
    spans = step_spans(encoder, sample.completion.ids, sample.trace)
    return [start for start, _ in spans] + [end for _, end in spans[-1:]]
