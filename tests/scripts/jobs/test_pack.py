"""What a job gets and what stays here."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from configs import Config, load_config
from scripts.jobs.errors import SubmitError
from scripts.jobs.pack import CODE, Package, pack

RUN = """
name: mine
env: {name: math, settings: {train: data/train.jsonl, id: "sets:test"}}
policy: {model: model}
rewards: {terms: [{name: correct, weight: 1}]}
"""


def write(root: Path, *names: str, text: str = ".") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a config, its data and a module; and much that no job needs."""
    root = tmp_path / "project"
    write(root, "exp/run.yaml", text=RUN)
    write(root, "exp/beside.py", "my_env.py", "data/train.jsonl", "data/other.jsonl", "sets/test/x.arrow")
    write(root, "model/config.json", "notes.md", "kept.bin", "big.bin")
    write(root, ".git/x", ".venv/x", "venv/x", ".env", "__pycache__/a.pyc", "exp/__pycache__/a.pyc")
    write(root, ".mypy_cache/x", "runs/a/x", "wandb/x", "exp/checkpoint-3/x", "x.egg-info/x")
    write(root, "results/old/config.yaml", "results/old/provenance.json", "results/old/models/x")
    write(root, ".gitignore", text="/data\nmodel/\nsets\n")
    write(root, ".rayignore", text="# large\n*.bin\n!kept.bin\nnotes.md\n")
    monkeypatch.chdir(root)
    return root


def installed(tmp_path: Path) -> Path:
    return tmp_path / "site-packages"  # no pyproject.toml beside the packages


def packed(here: Path, file: str = "exp/run.yaml", *overrides: str, code: Path = CODE) -> Package:
    return pack(load_config(file, overrides), Path(file), here, code=code)


def test_a_job_gets_the_config_what_it_names_and_modules(here: Path, tmp_path: Path) -> None:
    package = packed(here, code=installed(tmp_path))
    assert set(package.files) == {
        "exp/run.yaml",
        "exp/beside.py",
        "my_env.py",
        "data/train.jsonl",  # named by the config, so .gitignore does not matter
        "sets/test/x.arrow",
        "model/config.json",
        "kept.bin",
    }
    assert package.config == "exp/run.yaml"
    assert {".git", ".venv", ".env", "runs", "results/old", "big.bin"} <= {*package.left_out}
    (line,) = package.describe()
    assert line.startswith("sending 7 files, 0.0 MiB (largest: ") and "left here: big.bin, " in line


def test_a_checkout_sends_its_code(here: Path) -> None:
    files = packed(here).files
    assert files["scripts/train.py"] == CODE / "scripts" / "train.py"
    assert files["rl/viewer/viewer.css"].is_file() and files["my_env.py"] == here / "my_env.py"
    assert not any("__pycache__" in name or name.startswith("tests") for name in files)
    for package in ("configs", "envs", "rewards", "rollout", "rl", "scripts"):
        ours = {path.relative_to(CODE).as_posix() for path in (CODE / package).rglob("*.*") if path.is_file()}
        assert {name for name in ours if "__pycache__" not in name} <= set(files)


def test_a_shipped_config_goes_by_its_name(here: Path, tmp_path: Path) -> None:
    config = CODE / "configs" / "cluster.yaml"
    assert pack(load_config("cluster"), config, here).config == "cluster"
    write(here, "cluster.yaml", text=RUN)
    assert packed(here, "cluster.yaml").config == "cluster.yaml"


def test_a_config_from_elsewhere_brings_its_folder(here: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", "run.yaml", text=RUN.replace("data/train.jsonl", "my.jsonl"))
    write(tmp_path / "other", "beside.py", "runs/a", ".secret")
    write(here, "my.jsonl", "job_config/own.txt")
    package = packed(here, "../other/run.yaml", code=installed(tmp_path))
    assert package.config == "job_config/run.yaml"
    ours = {name for name in package.files if name.startswith("job_config/")}
    assert ours == {"job_config/run.yaml", "job_config/beside.py", "job_config/own.txt"}
    assert "my.jsonl" in package.files  # paths in a config start from the current folder
    write(here, "job_config/run.yaml")
    with pytest.raises(SubmitError, match=r"would both be job_config/run.yaml in the job's folder; rename"):
        packed(here, "../other/run.yaml", code=installed(tmp_path))


def test_absolute_paths_are_the_nodes_own(here: Path, tmp_path: Path) -> None:
    write(tmp_path, "shared/train.jsonl")
    given = f"env.settings.train={tmp_path / 'shared/train.jsonl'}"
    package = packed(here, "exp/run.yaml", given)
    assert package.absolute == [str(tmp_path / "shared/train.jsonl")]
    assert "data/train.jsonl" not in package.files
    assert package.describe()[1].startswith("the nodes must have what the config names by absolute path: /")


def test_a_path_that_leaves_the_folder_is_refused(here: Path, tmp_path: Path) -> None:
    write(tmp_path, "far.jsonl")
    with pytest.raises(SubmitError, match=r"env.settings.train names ../far.jsonl, outside the current folder"):
        packed(here, "exp/run.yaml", "env.settings.train=../far.jsonl")


def test_a_file_in_the_place_of_our_own_is_refused(here: Path) -> None:
    write(here, "scripts/prepare.py", "configs/mine.yaml")
    assert {"scripts/prepare.py", "configs/mine.yaml"} <= set(packed(here).files)
    write(here, "scripts/train.py")
    with pytest.raises(SubmitError, match=r"would both be scripts/train.py in the job's folder; rename yours"):
        packed(here)


def test_links_to_files_travel_and_links_to_folders_stay(here: Path, tmp_path: Path) -> None:
    write(tmp_path, "far/a.txt", text="far")
    (here / "a.txt").symlink_to(tmp_path / "far" / "a.txt")
    (here / "loop").symlink_to(here)
    (here / "gone").symlink_to(tmp_path / "nothing")
    package = packed(here, code=installed(tmp_path))
    assert "a.txt" in package.files and "loop" in package.left_out and "gone" not in package.files


def test_too_much_is_refused_by_name(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "data" / "train.jsonl").write_bytes(b"." * 3_000_000)
    package = packed(here, code=installed(tmp_path))
    package.check_size(3_100_000)
    with pytest.raises(SubmitError, match=r"would have 2.9 MiB, over 1.9 MiB; largest: data 2.9 MiB, "):
        package.check_size(2_000_000)
    monkeypatch.setattr("scripts.jobs.pack._MAX_FILES", 3)
    with pytest.raises(SubmitError, match="has more than 3 files; run this from a folder that holds what the"):
        packed(here, code=installed(tmp_path))


def test_the_same_files_make_the_same_archive(here: Path, tmp_path: Path) -> None:
    (here / "my_env.py").chmod(0o755)
    package = packed(here, code=installed(tmp_path))
    for name in ("a.zip", "b.zip"):
        package.write(tmp_path / name)
        os.utime(here / "my_env.py", (10**9, 10**9))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert set(archive.namelist()) == set(package.files)
        assert archive.getinfo("my_env.py").external_attr >> 16 == 0o755


def test_the_repository_is_small_enough_to_send() -> None:
    package = pack(load_config("cluster"), CODE / "configs" / "cluster.yaml", CODE)
    assert package.sizes().total() < 5 * 2**20
    assert not {"tests", "docs", ".git"} & set(package.sizes())


def test_texts_that_are_no_paths_name_none(here: Path) -> None:
    config: Config = load_config("exp/run.yaml", ["prompt.system_prompt=" + "long " * 2000, "env.name=math"])
    assert pack(config, Path("exp/run.yaml"), here).absolute == []
