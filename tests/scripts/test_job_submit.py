"""A run as a Ray job, on a real head node on this machine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs import load_config
from rl.runs.trajectories import trajectory_log
from scripts import submit

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
    "object-manager-port",
    "node-manager-port",
)
# The cluster's config, cut down to two CPU actors and three updates of a model that knows nothing.
TINY = (
    "env.settings.train={'1_1': 1}",
    "env.settings.ood_easy={'2_1': 1}",
    "env.settings.ood_hard={'2_2': 1}",
    "policy.tiny={hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_positions: 128}",
    "warm_start={updates: 2, num_problems: 16, batch_size: 8}",
    "rollout.num_actors=2",
    "rollout.cpus_per_actor=0.5",
    "rollout.gpus_per_actor=0",
    "rollout.threads=1",
    "rollout.samples_per_problem=2",
    "rollout.max_prompt_tokens=32",
    "rollout.max_new_tokens=40",
    "rollout.problems_per_batch=1",
    "grpo={updates: 3, problems_per_update: 2, max_resamples: 0}",
    "eval={num_problems: 2, num_samples: 0}",
    "device=cpu",
    "threads=1",
    "report_to=[]",
)


@dataclass(frozen=True, kw_only=True)
class Head:
    """A running head node: where it is, what a client needs to talk to it, and a copy of the code."""

    address: str
    environment: dict[str, str]
    code: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.code, env=self.environment, capture_output=True, text=True, timeout=200
        )


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    code = tmp_path_factory.mktemp("code")
    for name in ("envs", "rewards", "rollout", "rl", "configs", "scripts", ".rayignore", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, code / name)
    temp = Path(tempfile.mkdtemp(prefix="sj-", dir="/tmp"))  # sockets need a short path
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        # Ray listens on every interface, so a token is required.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_TMPDIR": str(temp),
        "OMP_NUM_THREADS": "1",
    }
    # Without PYTHONPATH on the cluster, a job finds its code in its working folder alone.
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "PYTHONPATH"):
        environment.pop(name, None)
    try:
        subprocess.run(
            [
                *(str(BIN / "ray"), "start", "--head", "--node-ip-address=127.0.0.1"),
                *("--dashboard-host=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0"),
                *("--num-cpus=2", "--num-gpus=0", "--object-store-memory=100000000"),
                *(f"--temp-dir={temp}", "--disable-usage-stats"),
                *(f"--{name}={port}" for name, port in ports.items()),
            ],
            env=environment,
            check=True,
            capture_output=True,
            timeout=60,
        )
        client = {**environment, "PYTHONPATH": str(code)}
        yield Head(address=f"http://127.0.0.1:{ports['dashboard-port']}", environment=client, code=code)
    finally:
        left = end_processes(str(temp))
        shutil.rmtree(temp, ignore_errors=True)
        assert not left


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end_processes(mark: str) -> list[int]:
    """Kill the processes with `mark` in their command or environment, and their children; gives those left."""
    until = time.monotonic() + 20
    while (pids := marked_processes(mark)) and time.monotonic() < until:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.2)
    return pids


def marked_processes(mark: str) -> list[int]:
    marked: set[int] = set()
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if state == "Z":
            continue
        parents[int(folder.name)] = int(parent)
        if mark.encode() in words:
            marked.add(int(folder.name))
    while more := {pid for pid, parent in parents.items() if parent in marked} - marked:
        marked |= more
    return sorted(marked)


def test_a_job_trains_and_leaves_its_results(head: Head, tmp_path: Path) -> None:
    output = tmp_path / "run"
    done = head.run(
        *(str(BIN / "ray"), "job", "submit", "--address", head.address, "--working-dir", ".", "--"),
        *("python", "scripts/train.py", "configs/cluster.yaml", *TINY, f"output_dir={output}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows if row["stage"] == "grpo"] == [1, 2, 3]
    stages = json.loads((output / "summary.json").read_text())["stages"]
    assert list(stages) == ["base", "warm", "grpo"]
    assert set(stages["grpo"]) == {"id", "ood_easy", "ood_hard"}
    assert all(0 <= result["accuracy"] <= 1 for result in stages["grpo"].values())
    versions = {row.weight_version for row in trajectory_log(output).read(tokens=False)}
    assert versions == {0, 1, 2}  # each update was published


def test_submit_gives_the_exit_code_of_the_job(head: Head, tmp_path: Path) -> None:
    done = head.run(
        *(sys.executable, "scripts/submit.py", "--address", head.address, "configs/cluster.yaml"),
        *(*TINY, "rollout.num_actors=1000", f"output_dir={tmp_path / 'run'}"),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error: rollout.num_actors=1000" in done.stdout  # the job's own log
    assert "failed: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configs/cluster.yaml", "rollout.num_actor=3"], "did you mean 'num_actors'?"),
        (["configs/none.yaml"], "cannot read config configs/none.yaml"),
        (["configs/cluster.yaml"], "the cluster did not take the job: Failed to connect to Ray at address"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # restored afterwards, whatever main() sets it to
    (port,) = free_ports(1)
    try:
        code = submit.main(["--address", f"http://127.0.0.1:{port}", *arguments])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else -1
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err


def test_the_job_gets_the_config_by_its_place_in_the_repository(tmp_path: Path) -> None:
    config = tmp_path / "configs" / "my run.yaml"
    command = submit.make_entrypoint(config, ["name=x y", "--resume"], tmp_path, code=tmp_path)
    assert command == "python scripts/train.py 'configs/my run.yaml' 'name=x y' --resume"
    with pytest.raises(submit.SubmitError, match="is outside"):
        submit.make_entrypoint(Path("/elsewhere/a.yaml"), [], tmp_path, code=tmp_path)


def test_an_installed_stride_sends_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, here = tmp_path / "site-packages", tmp_path / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    assert submit.upload_folder(code) == here  # no pyproject.toml beside the packages
    assert submit.upload_folder(ROOT) == ROOT
    own = submit.make_entrypoint(here / "mine.yaml", ["seed=1"], here, code=code)
    assert own == "stride train mine.yaml seed=1"
    shipped = submit.make_entrypoint(code / "configs" / "cluster.yaml", [], here, code=code)
    assert shipped == "stride train cluster"  # the nodes have it by its name
    with pytest.raises(submit.SubmitError, match="is outside"):
        submit.make_entrypoint(tmp_path / "other.yaml", [], here, code=code)


def test_a_large_upload_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("runs/\n")
    (tmp_path / ".rayignore").write_text("# a comment\n.venv*\n*.bin\n")
    for name, size in (("a/x", 300), ("a/b/y", 200), ("c.txt", 40), ("runs/z", 9000), (".venv-2/z", 9000)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"." * size)
    (tmp_path / "a" / "weights.bin").write_bytes(b"." * 9000)
    sizes = submit.measure_upload(tmp_path)
    assert sizes["a"] == 500 and sizes["c.txt"] == 40  # runs, .venv-2 and *.bin are not sent
    assert sizes.keys() == {"a", "c.txt", ".gitignore", ".rayignore"}
    submit.check_upload(tmp_path, limit=1000)
    with pytest.raises(submit.SubmitError, match=r"largest: a \(0.0 MiB\), c.txt"):
        submit.check_upload(tmp_path, limit=100)


def test_the_repository_is_small_enough_to_send() -> None:
    assert sum(submit.measure_upload(ROOT).values()) < 5 * 2**20


def test_the_cluster_config_is_for_a_cluster() -> None:
    config = load_config(ROOT / "configs" / "cluster.yaml")
    assert config.rollout.backend == "ray" and config.rollout.gpus_per_actor > 0
