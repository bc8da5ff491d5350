"""The value of a sample after each of its steps: the mean reward of continuations (VinePPO, arXiv 2410.01679).

::

    sample --boundaries of steps--> prefixes --k continuations of each--> rewards --mean--> a value at each
    boundary

In: groups that a worker has scored. Out: the same groups, whose samples have values. It happens in the worker,
right after its groups, with the same weights and the same rewards. Samples that begin with the same tokens
share their continuations; those of the start are the samples of the group itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from rollout.encoder import Encoder
from rollout.step_boundaries import step_boundaries
from rollout.types import GroupRequest, RolloutGroup, Sample

Continue = Callable[[Sequence[tuple[int, GroupRequest]]], list[RolloutGroup]]
"""Answers requests, each beside the place of the group whose problem it is for."""


def with_values(
    requests: Sequence[GroupRequest],
    groups: Sequence[RolloutGroup],
    encoder: Encoder,
    *,
    max_new_tokens: int,
    answer: Continue,
) -> tuple[RolloutGroup, ...]:
    """Groups whose samples have values, where their request wants continuations.

    Args:
        requests: What the groups were sampled for.
        groups: The groups.
        encoder: Says which tokens are which step.
        max_new_tokens: Length limit of a completion; a prefix as long as it is not continued.
        answer: Samples continuations.
    """
    wanted: dict[tuple[int, tuple[int, ...]], GroupRequest] = {}
    prefixes: list[list[list[tuple[int, ...] | None]]] = []
    for place, (request, group) in enumerate(zip(requests, groups, strict=True)):
        own = (
            [] if request.continuations is None else [_prefixes(one, request, encoder) for one in group.samples]
        )
        for prefix in [prefix for row in own for prefix in row]:
            if prefix is not None and 0 < len(prefix) < max_new_tokens:
                wanted[place, prefix] = _request(request, prefix)
        prefixes.append(own)
    if not wanted:
        return tuple(groups)
    rows = sum(request.num_samples for request in requests)
    found: dict[tuple[int, tuple[int, ...]], RolloutGroup] = {}
    keys, size = list(wanted), max(1, rows // max(request.num_samples for request in wanted.values()))
    for start in range(0, len(keys), size):  # as many rows at a time as the groups had
        call = keys[start : start + size]
        answers = answer([(place, wanted[place, prefix]) for place, prefix in call])
        found.update(zip(call, answers, strict=True))
    return tuple(
        _valued(group, own, {prefix: one for (at, prefix), one in found.items() if at == place})
        if own
        else group
        for place, (group, own) in enumerate(zip(groups, prefixes, strict=True))
    )


def _prefixes(sample: Sample, request: GroupRequest, encoder: Encoder) -> list[tuple[int, ...] | None]:
    """What stands before each boundary of a sample; None where no value is wanted."""
    assert request.continuations is not None
    ids, every = sample.completion.ids, request.continuations.every
    boundaries = step_boundaries(encoder, ids, sample.trace)
    return [None if place % every else ids[: one.tokens] for place, one in enumerate(boundaries)]


def _request(request: GroupRequest, prefix: tuple[int, ...]) -> GroupRequest:
    assert request.continuations is not None
    return replace(
        request, num_samples=request.continuations.num, prefix_ids=prefix, continuations=None, facts=False
    )


def _valued(
    group: RolloutGroup,
    prefixes: Sequence[Sequence[tuple[int, ...] | None]],
    found: dict[tuple[int, ...], RolloutGroup],
) -> RolloutGroup:
    start = fmean(group.rewards) if group.rewards else None
    means = {prefix: fmean(one.rewards) for prefix, one in found.items() if one.rewards}

    def value(prefix: tuple[int, ...] | None) -> float | None:
        return start if prefix == () else means.get(prefix or ())

    samples = tuple(
        replace(sample, values=tuple(value(prefix) for prefix in row))
        for sample, row in zip(group.samples, prefixes, strict=True)
    )
    extra = sum(
        len(one.completion.ids) - one.completion.num_given for each in found.values() for one in each.samples
    )
    ungraded = sum(one.ungraded for one in found.values())
    return replace(group, samples=samples, extra_tokens=extra, extra_ungraded=ungraded)
