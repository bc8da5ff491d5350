"""Imports point one way, light modules import nothing heavy, and tests share code through `tests/kit`."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each may import those before it.
ORDER = ("envs", "rewards", "rollout", "rl", "scripts")
PACKAGES = (*ORDER, "configs")
WORKER = (
    ROOT / "envs" / "maths" / "worker"
)  # the sandbox loads it by its path, so its modules import each other so


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@functools.cache
def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports, in functions and for type checking too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 1 and path.parent == WORKER:
            names.add("envs")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            names.add(node.module.split(".")[0])
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            names.add(str(node.args[0].value).split(".")[0])
    return names


EVERY_FILE = [path for package in PACKAGES for path in files(package)]


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = {
        "configs": {"configs"},
        "envs": {"envs"},
        "rewards": {"envs", "rewards"},
        "rollout": {"envs", "rewards", "rollout"},
        "rl": {"configs", "envs", "rewards", "rollout", "rl"},
        "scripts": set(PACKAGES),
    }[package]
    assert imported(path) & set(PACKAGES) <= allowed


@pytest.mark.parametrize(
    ("library", "where"),
    [
        ("torch", {"rollout", "rl", "scripts"}),
        ("transformers", {"rollout", "rl", "scripts"}),
        ("trl", {"rl"}),
        ("peft", {"rollout", "rl"}),
        ("ray", {"rollout", "rl", "scripts"}),  # in rl one file: see below
        ("yaml", {"configs", "rl", "scripts"}),
    ],
)
def test_libraries_are_imported_where_they_belong(library: str, where: set[str]) -> None:
    found = {path.relative_to(ROOT).parts[0] for path in EVERY_FILE if library in imported(path)}
    assert found, f"nothing imports {library}"
    assert found <= where


def test_one_file_of_the_learner_knows_ray() -> None:
    """Tune runs whole trainings, which only `rl` can start."""
    assert [path.name for path in files("rl") if "ray" in imported(path)] == ["tune.py"]


def test_one_file_at_most_knows_vllm() -> None:
    assert sum("vllm" in imported(path) for path in EVERY_FILE) <= 1


@functools.cache
def modules_of(path: Path) -> set[str]:
    """Dotted names of everything a file imports, `x.y` for `from x import y` too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


def test_tests_share_through_the_kit_alone() -> None:
    """Code that two test files need is in `tests/kit`; neither a test file nor the kit imports a test file."""
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files("tests")
        for name in modules_of(path)
        if name.startswith("tests.") and not f"{name}.".startswith("tests.kit.")
    }
    assert found == set()


def test_the_reader_finds_every_kind_of_import(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b as c\nfrom d.e import f\n"
        "def g() -> None:\n    import h\n    importlib.import_module('i.j')\n"
    )
    assert imported(path) == {"a", "d", "h", "i"}
    assert modules_of(path) == {"a.b", "d.e", "d.e.f", "h"}


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("envs, rewards, configs", ("torch", "ray", "transformers", "trl")),
        # A config is checked before torch is imported.
        ("rl.train, rl.standalone", ("torch", "ray", "transformers", "trl", "datasets")),
        # Ray takes a second to import: only runs that use it pay for it.
        pytest.param("rl.stages", ("ray",), marks=pytest.mark.slow),
        pytest.param("scripts.ablate, rl.ablation.run, rl.ablation.preview", ("ray",), marks=pytest.mark.slow),
        # A worker sets its thread limit before torch is loaded.
        ("rl.ablation.tune", ("torch",)),
    ],
)
def test_heavy_libraries_stay_out(modules: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "\n"
