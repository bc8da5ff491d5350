"""A whole run, from a config to its report.

The config is checked first, without torch, which takes seconds to import; `stages.py` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from configs import Config
from rl.launcher import check_launcher
from rl.parts import build_parts
from rl.ray_job import check_job_output, in_job
from rl.runs.folder import RunFolder, check_run_folder
from rl.runs.problems import describe_problems
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
    check_launcher()
    if in_job():
        check_job_output(config)
    let_threads_sleep()
    remove_leftovers()
    warnings = check_surroundings(config)
    parts = build_parts(config)
    names = [term.name for term in config.rewards.terms]
    problems = describe_problems(parts.env, parts.curriculum, names)
    check_run_folder(config, resume=resume, overwrite=overwrite, problems=problems, allow=allow)
    from rl.stages import run_stages  # imports torch

    return run_stages(
        config,
        parts,
        resume=resume,
        overwrite=overwrite,
        problems=problems,
        allow=allow,
        warnings=warnings,
        out=out,
    )
