"""What the tests of bad input share: a folder with a config and things that are none, and the check of a
refusal.

Every mistake of a user is one line on stderr with an exit code, and nothing is written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.train import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
env: {name: directional}
policy:
  tiny: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 104}
rewards: {terms: [{name: correct, weight: 1.0}]}
rollout: {max_prompt_tokens: 80, max_new_tokens: 20}
device: cpu
report_to: []
"""

Cases = dict[str, tuple[list[str], tuple[str, ...]]]
"""Arguments of `stride train` and what the line says, by name."""


def working_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the current one, with a config, things that are no config, and a finished run."""
    monkeypatch.chdir(path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (path / "good.yaml").write_text(CONFIG)
    (path / "broken.yaml").write_text("env: [")
    (path / "list.yaml").write_text("- env\n")
    (path / "empty.yaml").write_text("")
    (path / "bare.yaml").write_text("name: x\n")
    (path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (path / "mine").mkdir()
    (path / "mine" / "thesis.tex").write_text("years of work")
    (path / "done").mkdir()
    (path / "done" / "config.yaml").write_text(CONFIG + "seed: 3\n")
    (path / "done" / "metrics.jsonl").write_text('{"format": 3, "stage": "grpo", "update": 1, "loss": 0.5}\n')
    return path


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, every folder with None; modules that Python has compiled do not count."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def check(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str], code: int = 2
) -> None:
    """Hold that a command is refused in one line that has all parts, in time, and that nothing is written."""
    folder = Path.cwd()
    before = contents(folder)
    started = time.perf_counter()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    assert contents(folder) == before
    assert time.perf_counter() - started < 60


def check_before_torch(folder: Path, commands: Sequence[list[str]], code: int = 2) -> None:
    """Hold that commands are refused before torch is imported, which takes seconds."""
    before = contents(folder)
    script = (
        "import sys\nfrom scripts.train import main\n"
        f"for arguments in {list(commands)!r}:\n"
        "    try:\n        main(arguments)\n"
        "    except SystemExit as ended:\n        print(ended.code)\n"
        "print({'torch', 'transformers', 'datasets', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == f"{code}\n" * len(commands) + "set()\n", done.stderr
    assert done.stderr.count("\n") == len(commands)
    assert contents(folder) == before


def run(
    folder: Path, *arguments: str, script: str = "train.py", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, as a person does."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *arguments],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
