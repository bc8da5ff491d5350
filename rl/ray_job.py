"""What a run needs as a job of a Ray cluster: an output folder that outlives it, a GPU that is its own.

`stride submit` sees to both; `ray job submit` to neither. Neither torch nor Ray is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from configs import Config, ConfigError

_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Ray sets it for the driver of a job that reserves nothing.
_UNRESERVED = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
_SESSION = "session_"  # how the folders begin in which Ray keeps those of its jobs


def in_job(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the driver of a job."""
    return _JOB in environ


def check_job_output(config: Config) -> None:
    """Refuse an output folder that a job would lose.

    Raises:
        ConfigError: It is relative, so it would be in the job's own folder, or it is in one of Ray's.
    """
    given = Path(config.output_dir or f"runs/{config.name}")
    if not given.is_absolute():
        raise ConfigError(
            f"output_dir is {given}, which a job would write into its own folder, and Ray deletes that; give "
            f"an absolute path on storage that all nodes see, such as output_dir=/shared/{given.name}"
        )
    if any(part.startswith(_SESSION) for part in given.parts):
        raise ConfigError(
            f"output_dir {given} is in a folder of Ray's, which goes with the cluster; give another"
        )


def describe_reservation(environ: Mapping[str, str] = os.environ) -> list[str]:
    """A warning if this is a job whose driver uses a GPU that Ray takes to be free."""
    if not in_job(environ) or _UNRESERVED not in environ:
        return []
    return [
        "warning: this job reserves no GPU, so Ray may place actors on the learner's; submit it with "
        "`stride submit`, or `ray job submit --entrypoint-num-gpus 1`"
    ]
