"""Run a config as a job on a Ray cluster, follow its log and exit with its exit code.

The config is checked and the upload measured before anything is sent. From a checkout, its code travels with
the job; an installed Stride sends the current folder, and must be installed on the nodes too. Ray's own `ray
job submit` does the same, but exits with 1 whatever the run's exit code was.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scripts.arguments import Arguments
from scripts.exits import RUN_FAILED, USER_ERROR, user_errors

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

CODE = Path(__file__).resolve().parent.parent
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
MAX_UPLOAD_BYTES = 100 * 2**20  # Ray refuses more, after minutes of packing
INTERRUPTED = 130
_ADDRESS = "RAY_API_SERVER_ADDRESS"
_POLL_S = 0.5


class SubmitError(ValueError):
    """A job that cannot be submitted with these arguments."""

    exit_code: ClassVar[int] = 2


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, check, submit and follow."""
    parser = Arguments(
        "submit",
        about=f"{__doc__}",
        example="stride submit --address http://HEAD:8265 --gpus 1 cluster output_dir=/shared/run1",
    )
    parser.add_argument("--address", help=f"of the cluster's dashboard; ${_ADDRESS} or {DEFAULT_ADDRESS}")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs reserved for the learner (default 0)")
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of a shipped config")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="as for `stride train`")
    arguments = parser.parse_args(argv)
    with user_errors():
        from configs import load_config
        from configs.schema.shipped import find_config

        load_config(arguments.config, [word for word in arguments.rest if not word.startswith("--")])
        config = find_config(arguments.config)
    try:
        folder = upload_folder()
        entrypoint = make_entrypoint(config, arguments.rest, folder)
        check_upload(folder)
        return submit(entrypoint, folder, address=arguments.address, gpus=arguments.gpus)
    except SubmitError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR


def upload_folder(code: Path = CODE) -> Path:
    """The folder a job gets: the checkout that this file is in, or the current folder where it is in none."""
    return code if (code / "pyproject.toml").is_file() else Path.cwd()


def make_entrypoint(config: Path, rest: Sequence[str], folder: Path, code: Path = CODE) -> str:
    """The job's command line, run in the uploaded copy of `folder`.

    Raises:
        SubmitError: The config is neither in `folder` nor a shipped one, so the job would not have it.
    """
    command = ["python", "scripts/train.py"] if folder == code else ["stride", "train"]
    path = config.resolve()
    if path.is_relative_to(folder):
        return shlex.join([*command, path.relative_to(folder).as_posix(), *rest])
    if path.parent == code / "configs":
        return shlex.join([*command, path.stem, *rest])
    raise SubmitError(f"config {config} is outside {folder}, the folder that the job gets; copy it there")


def check_upload(root: Path, limit: int = MAX_UPLOAD_BYTES) -> None:
    """Refuse a folder Ray would refuse after packing it.

    Raises:
        SubmitError: Over `limit` bytes; names the largest entries.
    """
    sizes = measure_upload(root)
    total = sum(sizes.values())
    if total > limit:
        largest = ", ".join(f"{name} ({_mib(size)})" for name, size in sizes.most_common(3))
        raise SubmitError(
            f"the upload of {root} has {_mib(total)}, over {_mib(limit)}; largest: {largest}. Move away what "
            "the job does not need, or name it in .rayignore"
        )


def measure_upload(root: Path) -> Counter[str]:
    """Bytes that would be uploaded, by entry of `root`."""
    patterns = _ignored(root)
    sizes: Counter[str] = Counter()
    for folder, subfolders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        subfolders[:] = [name for name in subfolders if not _matches(here / name, patterns)]
        for name in files:
            path = root / here / name
            if not _matches(here / name, patterns) and path.is_file():
                sizes[(here / name).parts[0]] += path.stat().st_size
    return sizes


def _ignored(root: Path) -> list[str]:
    files = [root / name for name in (".gitignore", ".rayignore")]
    lines = [line.strip() for file in files if file.is_file() for line in file.read_text().splitlines()]
    return [line.rstrip("/") for line in lines if line and not line.startswith("#")]


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a path below the folder is left out: by a name at any depth, or by a `/name` at the top."""
    return any(
        fnmatch(f"/{path.as_posix()}" if pattern.startswith("/") else path.name, pattern)
        for pattern in patterns
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def submit(entrypoint: str, folder: Path, *, address: str | None, gpus: float) -> int:
    """Submit the job with a copy of `folder`, print its log as it comes and give its exit code.

    Raises:
        SubmitError: The cluster cannot be reached or refuses the job.
    """
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    if address is not None:
        os.environ[_ADDRESS] = address  # Ray prefers the environment to an argument
    try:
        client = JobSubmissionClient(None if os.environ.get(_ADDRESS) else DEFAULT_ADDRESS)
        job = client.submit_job(
            entrypoint=entrypoint,
            runtime_env={"working_dir": str(folder)},
            entrypoint_num_gpus=gpus or None,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise SubmitError(f"the cluster did not take the job: {error}") from None
    print(f"job {job}: {entrypoint}", file=sys.stderr)
    try:
        asyncio.run(_print_log(client, job))
        return _exit_code(client, job)
    except KeyboardInterrupt:
        print(f"job {job} continues; `ray job stop {job}` ends it", file=sys.stderr)
        return INTERRUPTED


async def _print_log(client: JobSubmissionClient, job: str) -> None:
    try:
        async for text in client.tail_job_logs(job):
            print(text, end="", flush=True)
    except (OSError, RuntimeError) as error:
        print(f"the log of {job} broke off ({error}); waiting for its end", file=sys.stderr)


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    from ray.job_submission import JobStatus

    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(_POLL_S)
    info = client.get_job_info(job)
    if status == JobStatus.SUCCEEDED:
        return 0
    message = " ".join((info.message or "").split())[:300]
    print(f"job {job} {str(status).lower()}: {message}", file=sys.stderr)
    return RUN_FAILED if info.driver_exit_code is None else info.driver_exit_code


if __name__ == "__main__":
    raise SystemExit(main())
