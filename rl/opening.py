"""What is opened before work begins: policy, memory and pool, and the folder of a run.

In: a checked config. Out: its parts that need torch, inside a context that closes them. Whatever a user can
have got wrong is found before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from configs import Config
from rl.build import build_policy, build_pool, check_backends, check_lengths, checked_memory
from rl.devices import describe_devices
from rl.memory.fit import Fit
from rl.models.policy import Policy
from rl.numerics import describe_numerics
from rl.parts import Parts
from rl.precision import check_learner
from rl.runs.disk import disk_errors
from rl.runs.folder import RunFolder, open_run
from rl.runs.quiet import quiet_libraries
from rl.runs.saving import remove_leftovers
from rl.train import CheckedRun
from rollout.engines.precision import set_tf32
from rollout.pools.base import RolloutPool


class Opened(NamedTuple):
    """What a run works with; to be unpacked, so that a policy can be dropped once another one is trained.

    Attributes:
        policy: What is trained first.
        fit: How it fits into memory.
        pool: What samples.
        folder: Its folder, locked.
        lines: For its start: where it is, notes, memory, devices, warnings.
    """

    policy: Policy
    fit: Fit
    pool: RolloutPool
    folder: RunFolder
    lines: Sequence[str]


@contextmanager
def opened_run(
    config: Config,
    checked: CheckedRun,
    *,
    resume: bool,
    overwrite: bool,
    allow: Sequence[str],
    check: Callable[[Policy], Sequence[str]] = lambda policy: (),
) -> Iterator[Opened]:
    """Open a run, and close what was opened.

    Args:
        config: The run.
        checked: What is known of it without torch.
        resume: Continue the run in the output folder.
        overwrite: Replace the run in the output folder.
        allow: Keys that may change in a resumed run.
        check: What else must hold before anything is written; returns further warnings.

    Raises:
        ConfigError, PolicyError, RunFolderError, ResourceError, VllmError, DecodingError: A mistake of the
            user's, found before anything is written.
        DiskError: A file of the run could not be written.
    """
    parts = checked.parts
    check_backends(config)
    torch.set_num_threads(config.threads)
    set_tf32(config.tf32)
    quiet_libraries()
    policy = build_policy(config, parts)
    check_learner(config, policy.model)
    warnings = [*checked.warnings, *check_lengths(config, parts, policy), *check(policy)]
    fit = checked_memory(config, policy)
    pool = build_pool(config, parts, policy, fit)
    with (
        closing(pool),
        closing(
            open_run(
                config,
                resume=resume,
                overwrite=overwrite,
                problems=checked.problems,
                allow=allow,
                numerics=describe_numerics(config),
                model_commit=policy.commit,
            )
        ) as folder,
        disk_errors(folder.path),
    ):
        remove_leftovers(folder.path / "models")
        begins = f"{config.name}: {parts.env.name}, {policy.num_parameters:,} parameters, in {folder.path}"
        more = (*folder.notes, *parts.env.notes, *fit.lines(), *describe_devices(config), *warnings)
        opened = [Opened(policy, fit, pool, folder, [begins, *more])]
        del policy
        yield opened.pop()  # only the caller keeps the policy


@contextmanager
def opened_model(
    config: Config, parts: Parts, checkpoint: Path | None
) -> Iterator[tuple[Policy, RolloutPool, Sequence[str]]]:
    """Open a model that is not trained and the pool that samples from it, and close the pool.

    Args:
        config: What samples and how, as `rl.standalone.with_model` returns it.
        parts: Its parts that need no torch.
        checkpoint: Folder of the model; None: the config's own.

    Yields:
        The policy, the pool, and lines to warn of.

    Raises:
        ConfigError, PolicyError, ResourceError, VllmError, DecodingError: A mistake of the user's.
    """
    check_backends(config)
    quiet_libraries()
    torch.set_num_threads(config.threads)
    policy = build_policy(config, parts, checkpoint)
    warnings = check_lengths(config, parts, policy)
    with closing(build_pool(config, parts, policy, checked_memory(config, policy))) as pool:
        yield policy, pool, warnings
