"""A whole run, from a config to its report.

The config is checked first, without torch, which takes seconds to import; `stages.py` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from configs import Config, ConfigError
from envs import Env, Split
from rl.iterate.record import VALIDATION
from rl.launcher import check_launcher
from rl.parts import Parts, build_parts
from rl.ray_job import check_job_output, in_job
from rl.runs.folder import RunFolder, check_run_folder
from rl.runs.problems import Problems, describe_problems
from rl.surroundings import check_surroundings
from rollout.temporary import remove_leftovers
from rollout.threads import let_threads_sleep


def train(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow: Sequence[str] = (),
    out: TextIO | None = None,
) -> RunFolder:
    """Run a config from start to report.

    Args:
        config: What to do.
        resume: Continue the run in the output folder.
        overwrite: Replace the run in the output folder.
        allow: Keys of the config that may change in a resumed run though they decide what is trained.
        out: Where progress is shown; None: stderr.

    Returns:
        The run's folder; `summary()` has the results.

    Raises:
        ConfigError, PolicyError, RunFolderError, ResourceError, VllmError, DecodingError: A mistake of the
            user's, found before anything is written.
    """
    if config.iterate is not None:
        raise ConfigError(
            "the config has the section iterate, a step-skipping loop; run it with `stride iterate`, or set "
            "iterate to null"
        )
    if config.expert_iteration is not None:
        raise ConfigError(
            "the config has the section expert_iteration; run it with `stride iterate`, or set it to null"
        )
    checked = check_run(config, resume=resume, overwrite=overwrite, allow=allow)
    from rl.stages import run_stages  # imports torch

    return run_stages(config, checked, resume=resume, overwrite=overwrite, allow=allow, out=out)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRun:
    """What a run needs, checked without torch.

    Attributes:
        parts: Its parts.
        problems: Their problems, as hashes, which are recorded and compared; None: they are not.
        warnings: Lines for its start.
    """

    parts: Parts
    problems: Problems | None = None
    warnings: Sequence[str] = ()


def check_run(config: Config, *, resume: bool, overwrite: bool, allow: Sequence[str]) -> CheckedRun:
    """Find a user's mistakes before anything is imported that takes seconds, and before anything is written.

    Raises:
        ConfigError, PolicyError, RunFolderError: A mistake.
    """
    check_launcher()
    if in_job():
        check_job_output(config)
    let_threads_sleep()
    remove_leftovers()
    warnings = check_surroundings(config)
    parts = build_parts(config)
    check_rounds(config, parts.env)
    names = [term.name for term in config.rewards.terms]
    problems = describe_problems(parts.env, parts.curriculum, names, parts.others.get(VALIDATION))
    check_run_folder(config, resume=resume, overwrite=overwrite, problems=problems, allow=allow)
    return CheckedRun(parts=parts, problems=problems, warnings=warnings)


def check_rounds(config: Config, env: Env[Any]) -> None:
    """Refuse rounds of `stride iterate` that contradict `eval.search`, or that the train split has too few for.

    Evaluating a model by the same config is no training, so it is not checked there.

    Raises:
        ConfigError: Names the key and what to do.
    """
    expert, learnt = config.expert_iteration, config.warm_start
    if config.eval.search and config.iterate is not None:
        raise ConfigError(
            "eval.search is for `stride train` and `stride evaluate`, but the config has iterate; set "
            "eval.search to false"
        )
    if expert is None or learnt is None:
        return
    if config.eval.search:
        raise ConfigError(
            "eval.search is for `stride train` and `stride evaluate`, but the config has expert_iteration, "
            "which searches as expert_iteration.evaluate_search says; set eval.search to false"
        )
    size = env.num_problems(Split.TRAIN)
    needed = learnt.num_problems + expert.rounds * expert.num_problems
    if expert.fresh_problems and size is not None and needed > size:
        raise ConfigError(
            f"expert_iteration.fresh_problems is true, but {expert.rounds} rounds of {expert.num_problems:,} "
            f"problems after the {learnt.num_problems:,} of the warm start are {needed:,}, and the train split "
            f"has {size:,}; lower rounds, num_problems or warm_start.num_problems, or set fresh_problems to "
            "false"
        )
