"""Uploading a model: the files, the card, and one line for every failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from rl.models.card import model_card
from rl.runs.models import find_trained
from rl.runs.record import Stage
from scripts.push import main
from tests.kit.runs_by_hand import traces, write_run

ROOT = Path(__file__).resolve().parents[2]


class Hub:
    """Stands in for the hub: keeps what is uploaded."""

    def __init__(self) -> None:
        self.repos: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}

    def create_repo(self, api: HfApi, repo_id: str, *, private: bool, exist_ok: bool, repo_type: str) -> Any:
        assert exist_ok and repo_type == "model"
        whole = repo_id if "/" in repo_id else f"me/{repo_id}"
        self.repos.setdefault(whole, private)
        return SimpleNamespace(repo_id=whole)

    def upload_folder(self, api: HfApi, *, repo_id: str, folder_path: str, **options: Any) -> Any:
        assert repo_id in self.repos
        for path in Path(folder_path).rglob("*"):
            self.files[path.relative_to(folder_path).as_posix()] = path.read_bytes()
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def upload_file(
        self, api: HfApi, *, repo_id: str, path_or_fileobj: bytes, path_in_repo: str, **more: Any
    ) -> None:
        self.files[path_in_repo] = path_or_fileobj


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    for name in ("create_repo", "upload_folder", "upload_file"):
        method = getattr(hub, name)
        monkeypatch.setattr(HfApi, name, lambda api, *a, _method=method, **k: _method(api, *a, **k))
    return hub


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(
        tmp_path / "runs" / "a",
        {Stage.WARM: traces(6), Stage.GRPO: traces(8)},
        policy={"model": "/home/me/base"},
    )
    for stage in ("warm", "grpo"):
        model = tmp_path / "runs" / "a" / "models" / stage
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_text(stage)
    return Path("runs/a")


def test_the_last_model_of_a_run_goes_up_with_a_card(
    run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "me/short", "--private"]) == 0
    assert capsys.readouterr().out == "https://hub/me/short/commit/1\n"
    assert hub.repos == {"me/short": True}
    assert hub.files["model.safetensors"] == b"grpo"
    card = hub.files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# short" in card and "| GRPO | id | 0." in card and "| warm start | id | 0." in card
    assert "/home/me" not in card and "model: base" in card  # nothing of the machine


def test_a_model_folder_of_a_run_is_that_stage(run: Path, hub: Hub) -> None:
    assert main([str(run / "models" / "warm"), "short"]) == 0
    assert hub.repos == {"me/short": False} and hub.files["model.safetensors"] == b"warm"
    assert "Weights after the stage `warm`" in hub.files["README.md"].decode()


def test_a_card_written_by_the_user_is_kept(run: Path, hub: Hub) -> None:
    (run / "models" / "grpo" / "README.md").write_text("mine")
    main([str(run), "me/short"])
    assert hub.files["README.md"] == b"mine"


def test_a_model_that_comes_from_no_run(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert main([str(tmp_path), "me/x"]) == 0
    assert hub.files["README.md"].decode() == model_card(find_trained(tmp_path), "x")
    assert "library_name: peft" in hub.files["README.md"].decode()


def refused(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def http(status: int) -> HfHubHTTPError:
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return HfHubHTTPError("a long\nstory", response=response)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (http(401), "cannot push to 'me/x': no token, or one that is not valid; run `hf auth login`"),
        (http(403), "the token may not write there"),
        (http(404), "there is no such owner or repository"),
        (http(500), "cannot push to 'me/x': a long story"),
        (LocalTokenNotFoundError("x"), "run `hf auth login`, or set HF_TOKEN"),
        (ConnectionError("no\nroute"), "the hub cannot be reached or refused: no route"),
    ],
)
def test_a_refusal_by_the_hub_is_one_line(
    error: Exception,
    part: str,
    run: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("create_repo", "upload_folder"):
        monkeypatch.setattr(HfApi, name, refused(error))
        with pytest.raises(SystemExit) as ended:
            main([str(run), "me/x"])
        err = capsys.readouterr().err
        assert ended.value.code == 2
        assert err.startswith("error: ") and part in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nowhere", "me/x"], "there is no folder nowhere; give the folder of a run or of a model"),
        (["runs", "me/x"], "runs holds neither a run (config.yaml) nor a model"),
        (["runs/a", "me/x/y"], "'me/x/y' is no repository id; give owner/name"),
        (["runs/a"], "REPO_ID is missing; for example: stride push"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], part: str, run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    err = capsys.readouterr().err
    assert ended.value.code == 2 and hub.repos == {}
    assert err.startswith("error: ") and part in err and err.count("\n") == 1


def test_a_run_without_a_model(tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "early", {Stage.BASE: traces(6)})
    with pytest.raises(SystemExit):
        main([str(tmp_path / "early"), "me/x"])
    assert "has saved no model yet" in capsys.readouterr().err


@pytest.mark.slow
def test_a_hub_that_does_not_answer(run: Path) -> None:
    # Nobody listens on port 9.
    done = subprocess.run(
        [sys.executable, "-m", "scripts.push", str(run.resolve()), "me/x"],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_x", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: cannot push to 'me/x': the hub cannot be reached")
    assert "Traceback" not in done.stderr
