"""A whole run, from a config to its report.

The config is checked first, without torch, which takes seconds to import; `stages.py` does the rest.
"""

from __future__ import annotations

from typing import TextIO

from configs import Config
from rl.launcher import check_launcher
from rl.parts import build_parts
from rl.ray_job import check_job_output, in_job
from rl.runs.folder import RunFolder, check_run_folder, run_path
from rl.runs.problems import check_problems
from rollout.threads import let_threads_sleep


def train(
    config: Config, *, resume: bool = False, overwrite: bool = False, out: TextIO | None = None
) -> RunFolder:
    """Run a config from start to report.

    Args:
        config: What to do.
        resume: Continue the run in the output folder.
        overwrite: Replace the run in the output folder.
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
    parts = build_parts(config)
    check_run_folder(config, resume=resume, overwrite=overwrite)
    if resume:
        check_problems(run_path(config), parts.env)
    from rl.stages import run_stages  # imports torch

    return run_stages(config, parts, resume=resume, overwrite=overwrite, out=out)
