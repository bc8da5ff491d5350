"""Run a config as a job on a Ray cluster, follow its log and exit with its exit code.

The job gets the current folder, the files that the config names and, from a checkout, Stride's code; runs,
checkpoints, caches and hidden files stay here. The cluster must ask for a token: --make-token makes one.
Ctrl-C leaves the job running; --follow takes up its log again, --stop has it save and end.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import train
from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.jobs.errors import SubmitError
from scripts.jobs.head import ADDRESS_VARIABLE, DEFAULT_ADDRESS, Head, reach_head

if TYPE_CHECKING:
    from configs import Config

GRACE_S = 60
"""Seconds that a stopped job may take to save; Ray's own default, 3, can be too few for a large model."""
_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Parse arguments; submit and follow a job, or follow or stop one that runs."""
    parser = _arguments()
    arguments, run = parser.parse_known_args(argv)
    chosen = [run or None, arguments.follow, arguments.stop, arguments.make_token or None]
    if sum(choice is not None for choice in chosen) != 1:
        parser.error("give one of CONFIG, --follow JOB, --stop JOB and --make-token")
    with user_errors():
        if arguments.make_token:
            return _make_token()
        if run:
            return _run(run, arguments)
        head = _head(arguments)
        from scripts.jobs.follow import follow_job, stop_job

        if arguments.stop is not None:
            return stop_job(head, arguments.stop)
        return follow_job(head, arguments.follow)


def _arguments() -> Arguments:
    parser = Arguments(
        "submit",
        about=f"{__doc__}",
        example="stride submit --address http://HEAD:8265 cluster output_dir=/shared/run1",
    )
    parser.usage = (
        "stride submit [--address URL] [--gpus N] CONFIG [key=value ...] [--resume | --overwrite]\n"
        "       stride submit [--address URL] (--follow JOB | --stop JOB)\n"
        "       stride submit --make-token"
    )
    parser.allow_abbrev = False  # what is not known here is for `stride train`
    parser.add_argument(
        "--address",
        metavar="URL",
        help=f"of the head's dashboard; default: ${ADDRESS_VARIABLE} or {DEFAULT_ADDRESS}",
    )
    parser.add_argument(
        "--gpus",
        type=float,
        metavar="N",
        help="GPUs reserved for the learner; default: 1 if the config's device is cuda, or auto and the "
        "cluster has GPUs, else 0",
    )
    parser.add_argument("--follow", metavar="JOB", help="follow a job that was submitted before")
    parser.add_argument("--stop", metavar="JOB", help="have a job save and end, and wait for that")
    parser.add_argument("--make-token", action="store_true", help="write a token that only you can read")
    parser.add_argument(
        "--allow-unauthenticated",
        action="store_true",
        help="talk to a head that asks for no token; anyone who reaches it can run code there",
    )
    return parser


def _head(arguments: argparse.Namespace) -> Head:
    return reach_head(arguments.address, allow_unauthenticated=arguments.allow_unauthenticated)


def _make_token() -> int:
    from scripts.jobs.token import make_token

    path = make_token()
    print(
        f"{path} holds a new token. Copy it to the same place on every node, with mode 0600, and start Ray "
        "there with it:\n  RAY_AUTH_MODE=token ray start --head"
    )
    return 0


def _run(words: list[str], arguments: argparse.Namespace) -> int:
    from configs import load_config
    from configs.schema.shipped import find_config
    from rl.ray_job import check_job_output
    from scripts.jobs.pack import is_checkout, pack

    run = train.make_parser().parse_intermixed_args(words)
    config = load_config(run.config, run.overrides)
    check_job_output(config)
    package = pack(config, find_config(run.config), Path.cwd())
    package.check_size()
    name = "train" if config.iterate is None and config.expert_iteration is None else "iterate"
    command = ["python", f"scripts/{name}.py"] if is_checkout() else ["stride", name]
    words[words.index(run.config)] = package.config
    entrypoint = shlex.join([*command, *words])
    head = _head(arguments)
    gpus = choose_gpus(config, head, arguments.gpus)
    for line in package.describe():
        print(line, file=sys.stderr)
    job = f"{config.name}-{secrets.token_hex(4)}"
    try:
        with tempfile.TemporaryDirectory(prefix="stride-job-") as folder:
            archive = Path(folder) / "job.zip"
            package.write(archive)
            send(head, job, entrypoint, archive, gpus=gpus)
    except KeyboardInterrupt:
        print(f"interrupted; job {job} may have been sent: --follow {job} tells", file=sys.stderr)
        return _INTERRUPTED
    print(f"job {job} ({gpus:g} GPU for the learner): {entrypoint}", file=sys.stderr)
    from scripts.jobs.follow import follow_job

    return follow_job(head, job)


def choose_gpus(config: Config, head: Head, asked: float | None = None) -> float:
    """GPUs to reserve for the learner: as many as are asked for, else one where it will use one."""
    if asked == 0 or (asked is None and config.device == "cpu"):
        return 0
    there = head.num_gpus()
    if there == 0 and asked is None and config.device == "auto":
        return 0
    gpus = 1 if asked is None else asked
    if there is not None and there < gpus:
        print(
            f"the cluster has {there:g} GPUs now, and the learner asks for {gpus:g}: the job waits until a "
            "node with enough of them joins (--gpus 0 asks for none)",
            file=sys.stderr,
        )
    return gpus


def send(head: Head, job: str, entrypoint: str, archive: Path, *, gpus: float) -> None:
    """Send a job.

    Args:
        head: Where to.
        job: Its id, a new one.
        entrypoint: Its command line, for a shell in its folder.
        archive: The zip file of its folder.
        gpus: GPUs that are reserved for the command.

    Raises:
        SubmitError: The head does not take it.
    """
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    from scripts.jobs.follow import GRACE_VARIABLE

    os.environ[ADDRESS_VARIABLE] = head.address  # Ray prefers the environment to an argument
    grace = os.environ.get(GRACE_VARIABLE, str(GRACE_S))
    logging.disable(logging.INFO)  # the sizes have been said
    try:
        client = JobSubmissionClient(head.address, headers=head.headers)
        client.submit_job(
            submission_id=job,
            entrypoint=entrypoint,
            runtime_env={"working_dir": str(archive), "env_vars": {GRACE_VARIABLE: grace}},
            entrypoint_num_gpus=gpus or None,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise SubmitError(f"the head at {head.address} did not take the job: {error}") from None
    finally:
        logging.disable(logging.NOTSET)


if __name__ == "__main__":
    raise SystemExit(main())
