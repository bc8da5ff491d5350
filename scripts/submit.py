"""Run a config as a job on a Ray cluster, follow its log and exit with its exit code.

python scripts/submit.py [--address http://127.0.0.1:8265] configs/cluster.yaml [key=value ...] [--resume]

The config is checked and the upload measured before anything is sent. Ray's own `ray job submit` does the same
job, but exits with 1 whatever the run exited with.
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
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from scripts.exits import RUN_FAILED, USER_ERROR, user_errors

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
MAX_UPLOAD_BYTES = 100 * 2**20  # Ray refuses more, after minutes of packing
INTERRUPTED = 130
_ADDRESS = "RAY_API_SERVER_ADDRESS"
_POLL_S = 0.5


class SubmitError(ValueError):
    """A job that cannot be submitted as asked."""

    exit_code: ClassVar[int] = 2


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, check, submit and follow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help=f"of the cluster's dashboard; ${_ADDRESS} or {DEFAULT_ADDRESS}")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs set aside for the learner (default 0)")
    parser.add_argument("config", help="YAML file in this repository, for example configs/cluster.yaml")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="as for scripts/train.py")
    arguments = parser.parse_args(argv)
    with user_errors():
        from configs import load_config

        load_config(arguments.config, [word for word in arguments.rest if not word.startswith("--")])
    try:
        entrypoint = make_entrypoint(arguments.config, arguments.rest)
        check_upload(ROOT)
        return submit(entrypoint, address=arguments.address, gpus=arguments.gpus)
    except SubmitError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR


def make_entrypoint(config: str, rest: Sequence[str], root: Path = ROOT) -> str:
    """The job's command line, run in the uploaded copy of `root`.

    Raises:
        SubmitError: The config is outside `root`, so the job would not have it.
    """
    path = Path(config).resolve()
    if not path.is_relative_to(root):
        raise SubmitError(f"config {config} is outside {root}, which is what the job gets; put it in configs/")
    return shlex.join(["python", "scripts/train.py", path.relative_to(root).as_posix(), *rest])


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
            f"the upload of {root} has {_mib(total)}, over {_mib(limit)}; largest: {largest}. Move what the "
            "job does not need away or name it in .rayignore"
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
    """Whether a path below the folder is left out: by a name anywhere, or by a `/name` at the top."""
    return any(
        fnmatch(f"/{path.as_posix()}" if pattern.startswith("/") else path.name, pattern)
        for pattern in patterns
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def submit(entrypoint: str, *, address: str | None, gpus: float) -> int:
    """Submit the job, print its log as it comes and give its exit code.

    Raises:
        SubmitError: The cluster cannot be reached or refuses the job.
    """
    if address is not None:
        os.environ[_ADDRESS] = address  # the environment wins over an argument
    try:
        client = JobSubmissionClient(None if os.environ.get(_ADDRESS) else DEFAULT_ADDRESS)
        job = client.submit_job(
            entrypoint=entrypoint,
            runtime_env={"working_dir": str(ROOT)},
            entrypoint_num_gpus=gpus or None,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise SubmitError(f"the cluster did not take the job: {error}") from None
    print(f"job {job}: {entrypoint}", file=sys.stderr)
    try:
        asyncio.run(_print_log(client, job))
        return _exit_code(client, job)
    except KeyboardInterrupt:
        print(f"job {job} goes on; `ray job stop {job}` ends it", file=sys.stderr)
        return INTERRUPTED


async def _print_log(client: JobSubmissionClient, job: str) -> None:
    try:
        async for text in client.tail_job_logs(job):
            print(text, end="", flush=True)
    except (OSError, RuntimeError) as error:
        print(f"the log of {job} broke off ({error}); waiting for its end", file=sys.stderr)


def _exit_code(client: JobSubmissionClient, job: str) -> int:
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
