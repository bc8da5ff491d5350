"""Runs as Ray jobs, on a real head node on this machine that asks for a token."""

from __future__ import annotations

import json
import re
import secrets
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs import load_config
from rl.runs.trajectories import trajectory_log
from scripts import submit
from scripts.jobs.errors import SubmitError
from scripts.jobs.follow import follow_job
from scripts.jobs.head import reach_head
from tests.kit.fork_server import ForkServer
from tests.kit.ray_head import NUM_UPDATES, TINY, RunningHead, free_ports, running_head
from tests.kit.same_run import digests

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

# A reward beside the config. It is slow while there is a file `hold`, and tells whose code it runs with.
OWN_REWARD = """
import time
from pathlib import Path
import rewards

@rewards.reward(when_right=(0, 1), when_wrong=(0, 0))
def gate(problem, trace, *, folder):
    Path(folder, "code.txt").write_text(rewards.__file__)
    if Path(folder, "hold").exists():
        time.sleep(0.3)
    return 0.0
"""


@pytest.fixture(scope="module")
def head() -> Iterator[RunningHead]:
    with running_head() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a config and a reward of one's own, and a virtual environment that no job needs."""
    folder = tmp_path / "project"
    (folder / "venv").mkdir(parents=True)
    (folder / "venv" / "large").write_bytes(b"." * 10_000_000)
    (folder / "own.py").write_text(OWN_REWARD)
    (folder / "run.yaml").write_text((ROOT / "configs" / "cluster.yaml").read_text())
    return folder


def test_a_run_is_followed_left_stopped_and_resumed(
    head: RunningHead, project: Path, tmp_path: Path, fork_server: ForkServer
) -> None:
    output = tmp_path / "run"
    own = f"{{name: 'own:gate', weight: 0.1, args: {{folder: {tmp_path}}}}}"
    terms = f"rewards.terms=[{{name: token_count, weight: -0.3}}, {own}]"
    keys = [*TINY, "rewards.allow_wrong_above_right=true", terms]
    what = ["run.yaml", *keys, f"output_dir={output}"]
    (tmp_path / "hold").touch()
    first = head.submit(project, *what)
    until = time.monotonic() + 120
    while not updates(output):
        assert time.monotonic() < until and first.poll() is None, first.communicate()
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    assert re.search(r"^sending \d+ files, [0-4]\.\d MiB .*; left here: venv$", err, re.MULTILINE), err
    match = re.search(
        r"job (cluster-\w+) goes on\. Follow it again: stride submit --address \S+ --follow \1", err
    )
    assert match is not None, err

    again = head.submit(project, "--follow", match[1])
    stop = head.submit(project, "--stop", match[1])
    out, err = stop.communicate(timeout=120)
    assert stop.returncode == 0, out + err
    assert "\nstopped; --resume " in f"\n{out}"
    log, err = again.communicate(timeout=60)
    assert again.returncode == 143, log + err
    assert log.endswith(out)
    done = updates(output)
    assert 0 < len(done) < NUM_UPDATES

    (tmp_path / "hold").unlink()
    resumed = head.submit(project, *what, "--resume")
    log, err = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, log + err
    assert updates(output) == [*range(1, NUM_UPDATES + 1)]
    stages = json.loads((output / "summary.json").read_text())["stages"]
    assert list(stages) == ["base", "warm", "grpo"]
    versions = {row.weight_version for row in trajectory_log(output).read(tokens=False)}
    assert versions == {*range(NUM_UPDATES)}  # each update was published
    assert "working_dir_files" in (tmp_path / "code.txt").read_text()  # the code that was sent, not another

    calm, log = tmp_path / "calm", tmp_path / "calm.log"
    here = [str(project / "run.yaml"), *keys, "rollout.backend=local", f"output_dir={calm}"]
    assert fork_server.train(here, log=log).wait(120) == 0, log.read_text()
    assert digests(output) == digests(calm)
    trained = digests(output)
    assert trained["models/warm/model.safetensors"] != trained["models/grpo/model.safetensors"]


def updates(output: Path) -> list[int]:
    """The updates of GRPO in the metrics of a run."""
    try:
        rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return [row["update"] for row in rows if row["stage"] == "grpo"]


def test_submit_gives_the_exit_code_of_the_job(
    head: RunningHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "empty"
    project.mkdir()
    # Only the job can tell that its output folder is taken.
    real = head.submit(project, "cluster", *TINY, f"output_dir={tmp_path}")
    archive = tmp_path / "job.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("note.txt", "x")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # restored afterwards
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.environment["RAY_AUTH_TOKEN"])
    reached = reach_head(head.address)
    entrypoints = {1: "exit 1", 75: "exit 75", 143: "kill -TERM $$"}
    for code, entrypoint in entrypoints.items():
        submit.send(reached, f"ends-{code}", f"ls; {entrypoint}", archive, gpus=0)
    for code in entrypoints:
        assert follow_job(reached, f"ends-{code}") == code
    captured = capfd.readouterr()
    assert captured.out.count("note.txt") == len(entrypoints)
    assert captured.err.count(" failed: ") == len(entrypoints)
    with pytest.raises(SubmitError, match="knows no job other"):
        follow_job(reached, "other")
    assert reached.num_gpus() == 0
    out, err = real.communicate(timeout=120)
    assert real.returncode == 2, out + err
    assert f"error: output_dir {tmp_path} is not empty" in out  # the job's own log
    assert "failed: " in err and "Traceback" not in out + err


def test_a_head_wants_its_own_token(head: RunningHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(
        SubmitError, match=r"asks for a token \(401\), and there is none in \$RAY_AUTH_TOKEN or"
    ):
        reach_head(head.address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with pytest.raises(SubmitError, match=r"refuses the token in \$RAY_AUTH_TOKEN \(403\)"):
        reach_head(head.address)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster", "rollout.num_actor=3"], "did you mean 'num_actors'?"),
        (["configs/none.yaml"], "cannot read config configs/none.yaml"),
        (["cluster", "output_dir=runs/a"], "output_dir is runs/a, which a job would write into its own folder"),
        (["cluster", "output_dir=/shared/a"], "no Ray head answers at http://127.0.0.1:"),
        (["--follow", "x"], "no Ray head answers at http://127.0.0.1:"),
        (["--stop", "x"], "no Ray head answers at http://127.0.0.1:"),
        ([], "give one of CONFIG, --follow JOB, --stop JOB and --make-token"),
        (["--follow", "x", "cluster"], "give one of CONFIG, --follow JOB, --stop JOB and --make-token"),
        (
            ["cluster", "--resumee", "output_dir=/shared/a"],
            "unknown argument --resumee; did you mean --resume?",
        ),
        (["--resume"], "CONFIG is missing"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (port,) = free_ports(1)
    with pytest.raises(SystemExit) as ended:
        submit.main(["--address", f"http://127.0.0.1:{port}", *arguments])
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err


def test_a_token_is_made_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert submit.main(["--make-token"]) == 0
    assert "RAY_AUTH_MODE=token ray start --head" in capsys.readouterr().out
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_the_cluster_config_is_for_a_cluster() -> None:
    config = load_config(ROOT / "configs" / "cluster.yaml")
    assert config.rollout.backend == "ray" and config.rollout.gpus_per_actor > 0
