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
from tests.kit.hub import Hub, stand_in
from tests.kit.runs_by_hand import traces, write_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return stand_in(monkeypatch)


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
