"""The resources that runs of an ablation reserve on Ray, and how many runs fit.

In: a trial's config, and the nodes of a cluster. Out: bundles of resources, one for the learner and, with
`rollout.backend: ray`, one for each of its actors. Runs that fit nowhere are refused here, because Ray itself
would wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from configs.schema.ablation import Trial
from rollout.pools.room import ResourceError

Bundle = dict[str, float]
"""Amounts of `CPU` and `GPU`, all on one node."""

_SLACK = 1e-9  # ten bundles of 0.1 fit on one core


def make_bundles(trial: Trial, *, gpus: float | None, gpus_there: bool) -> list[Bundle]:
    """The resources a trial reserves: the learner's first, then those of its actors.

    Args:
        trial: The trial.
        gpus: GPUs of the learner; None: one if the config asks for a GPU.
        gpus_there: Whether any node has a GPU, which decides for `device: auto`.
    """
    config, rollout = trial.config, trial.config.rollout
    if gpus is None:
        gpus = float(config.device == "cuda" or (config.device == "auto" and gpus_there))
    if rollout.backend == "local":  # the engine samples while the learner waits
        return [{"CPU": float(max(config.threads, rollout.threads)), "GPU": gpus}]
    actor = {"CPU": rollout.cpus_per_actor, "GPU": rollout.gpus_per_actor}
    actors = [dict(actor) for _ in range(rollout.num_actors)] if any(actor.values()) else []
    return [{"CPU": float(config.threads), "GPU": gpus}, *actors]


def this_machine() -> list[Bundle]:
    """The one node of a private cluster."""
    import torch  # takes seconds to import

    return [{"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(torch.cuda.device_count())}]


def count_at_once(nodes: Sequence[Mapping[str, float]], bundles: Sequence[Bundle], *, most: int) -> int:
    """How many trials of one size fit on nodes where nothing else runs; `most` at most."""
    free = [{key: node.get(key, 0.0) for key in ("CPU", "GPU")} for node in nodes]
    largest_first = sorted(bundles, key=lambda bundle: (bundle["GPU"], bundle["CPU"]), reverse=True)
    for count in range(most):
        if not all(_place(bundle, free) for bundle in largest_first):
            return count
    return most


def check_trial_fits(nodes: Sequence[Mapping[str, float]], trial: Trial, bundles: Sequence[Bundle]) -> None:
    """Refuse a trial that would not fit on these nodes even if nothing else ran.

    Raises:
        ResourceError: Names what it reserves, what the nodes have and the keys to change.
    """
    if count_at_once(nodes, bundles, most=1):
        return
    have = ", ".join(_amount(node) for node in nodes) or "none"
    actors = f" and {len(bundles) - 1} actors with {_amount(bundles[1])} each" if len(bundles) > 1 else ""
    keys = "threads, gpus_per_trial or rollout.num_actors" if actors else "threads or gpus_per_trial"
    raise ResourceError(
        f"case '{trial.case}' needs {_amount(bundles[0])} for its learner{actors}; Ray has {len(nodes)} "
        f"node{'s' * (len(nodes) != 1)} with {have}. Lower {keys}, or add nodes"
    )


def describe_bundles(bundles: Sequence[Bundle]) -> str:
    """The sum of a trial's resources as text."""
    return _amount({key: sum(bundle[key] for bundle in bundles) for key in ("CPU", "GPU")})


def _place(bundle: Bundle, free: list[Bundle]) -> bool:
    """Take a bundle's resources from the first node that has them."""
    for node in free:
        if all(node[key] + _SLACK >= amount for key, amount in bundle.items()):
            for key, amount in bundle.items():
                node[key] -= amount
            return True
    return False


def _amount(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
