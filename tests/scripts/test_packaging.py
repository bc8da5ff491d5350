"""The installed package: a wheel with all its data and no tests, which runs from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("configs", "envs", "rewards", "rl", "rollout", "scripts")
DATA = ("yaml", "js", "css", "jsonl", "j2", "html", "typed")
TINY = (
    "env.settings.train={'1_1': 1}",
    "env.settings.ood_easy={'2_1': 1}",
    "env.settings.ood_hard={'2_2': 1}",
    "policy.tiny={hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_positions: 128}",
    "warm_start={updates: 2, num_problems: 16, batch_size: 8}",
    "rollout={samples_per_problem: 2, max_prompt_tokens: 32, max_new_tokens: 40, problems_per_batch: 2}",
    "rewards.terms=[{preset: kimi_k1_5}]",
    "grpo={updates: 1, problems_per_update: 2, max_resamples: 0}",
    "eval={num_problems: 2, num_samples: 0}",
    "threads=1",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, "tests", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip(sys.executable, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(target), cwd=source)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def stride(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console command in an environment with the wheel, and with this one's libraries except Stride."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    (site,) = (place / "lib").glob("python*/site-packages")
    # A folder named in a .pth file is searched, but its own .pth files, an editable Stride's too, are not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = place / "bin" / "python"
    pip(str(python), "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel), cwd=place)
    return place / "bin" / "stride"


def pip(python: str, *arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *arguments]
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, env=clean(), timeout=120)


def clean() -> dict[str, str]:
    """This process's environment variables without those that lead to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(stride: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(stride), *arguments],
        cwd=folder,
        env={**clean(), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_every_data_file_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        licence = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    assert {name.partition("/")[0] for name in inside} == set(PACKAGES)
    in_checkout = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for suffix in (*DATA, "py")
        for path in (ROOT / package).rglob(f"*.{suffix}")
    }
    assert inside == in_checkout
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    assert {"configs/quickstart.yaml", "configs/ablations/gate.yaml", "configs/rewards/hapo.yaml"} <= inside
    assert licence


def test_a_run_by_name_in_an_empty_folder(stride: Path, tmp_path: Path) -> None:
    shown = run(stride, tmp_path, "train", "quickstart", *TINY)
    folder = tmp_path / "runs" / "quickstart"
    assert f"report: {folder / 'report.html'}" in shown
    assert set(json.loads((folder / "summary.json").read_text())["stages"]) == {"base", "warm", "grpo"}
    assert (folder / "report.html").stat().st_size > 1000
    page = tmp_path / "rollouts.html"
    run(stride, tmp_path, "rollouts", "runs/quickstart", "--html", str(page))
    assert page.stat().st_size > 1000
    code = "import envs, rl; print(envs.__file__, rl.__file__)"
    found = subprocess.run(
        [str(stride.with_name("python")), "-c", code], cwd=tmp_path, env=clean(), capture_output=True, text=True
    )
    assert found.stdout.count(str(stride.parents[1])) == 2  # not the checkout's


def test_an_ablation_by_name_in_an_empty_folder(stride: Path, tmp_path: Path) -> None:
    assert "warm-" in run(stride, tmp_path, "ablate", "gate", "--dry-run")
    assert list(tmp_path.iterdir()) == []
