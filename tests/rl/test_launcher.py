"""The environment of a launcher is refused before anything is loaded or written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from configs import Config, ConfigError
from rl.launcher import check_launcher
from rl.train import train

CONFIG = Config.model_validate(
    {"env": {"name": "addition"}, "rewards": {"terms": [{"name": "correct", "weight": 1}]}}
)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE=2 LOCAL_RANK=0"),
        ({"WORLD_SIZE": "1", "LOCAL_RANK": "0"}, "LOCAL_RANK=0"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_SIZE=4"),
        ({"ACCELERATE_USE_FSDP": "true"}, "ACCELERATE_USE_FSDP=true"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "ACCELERATE_MIXED_PRECISION=bf16"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "ACCELERATE_DYNAMO_BACKEND=INDUCTOR"),
    ],
)
def test_variables_of_a_launcher_are_named(
    environ: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        train(CONFIG.model_copy(update={"output_dir": str(tmp_path / "run")}))
    unset = " ".join(f"-u {part.partition('=')[0]}" for part in named.split())
    assert f": {named}; the learner is one process" in str(refused.value)
    assert f"`env {unset} ...`" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_plain_environment_passes() -> None:
    check_launcher({})
    check_launcher({"WORLD_SIZE": "1", "LOCAL_RANK": "-1", "ACCELERATE_USE_FSDP": "false", "RANK": "0"})
    check_launcher({"ACCELERATE_MIXED_PRECISION": "no", "SLURM_PROCID": "1", "WORLD_SIZE": ""})


@pytest.mark.slow
def test_torchrun_with_two_processes_is_refused_in_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "env: {name: addition}\nrewards: {terms: [{name: correct, weight: 1}]}\noutput_dir: run\n"
    )
    root = Path(__file__).parents[2]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--no-python"]
    done = subprocess.run(
        [*launcher, sys.executable, "-m", "scripts.cli", "train", str(tmp_path / "x.yaml")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode != 0 and lines
    assert all("WORLD_SIZE=2 LOCAL_RANK=" in line for line in lines)
    assert not (tmp_path / "run").exists()
