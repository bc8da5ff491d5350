"""A run uploads its models and their cards, and does not end where an upload fails."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from configs import ConfigError, load_config
from rl.models.push import PushError
from rl.train import train
from tests.kit.hub import Hub, stand_in

CONFIG = """
name: pushed
device: cpu
threads: 1
report_to: [tensorboard]
env:
  name: addition
  settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}
policy:
  tiny: {hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, max_positions: 128}
warm_start: {updates: 2, num_problems: 20, batch_size: 4}
rollout: {samples_per_problem: 2, max_prompt_tokens: 40, max_new_tokens: 40, threads: 1}
rewards: {terms: [{name: correct, weight: 1.0}]}
grpo: {updates: 4, problems_per_update: 1, dynamic_sampling: false, save_every: 2}
eval: {splits: [id], num_problems: 2, num_samples: 0}
push_to_hub: {repo_id: short, when: save}
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return stand_in(monkeypatch)


def run(folder: Path, *overrides: str) -> str:
    (folder / "config.yaml").write_text(CONFIG)
    out = io.StringIO()
    train(load_config(folder / "config.yaml", [f"output_dir={folder / 'run'}", *overrides]), out=out)
    return out.getvalue()


@pytest.mark.slow
def test_checkpoints_and_the_last_model_go_up_with_cards(tmp_path: Path, hub: Hub) -> None:
    said = run(tmp_path)
    assert hub.repos == {"me/short": True}
    weights = tmp_path / "run" / "models" / "grpo" / "model.safetensors"
    assert len(hub.uploads) == 3  # updates 2 and 4, and the end
    assert hub.uploads[2]["model.safetensors"] == weights.read_bytes()
    titles = [upload["README.md"].decode().partition("# ")[2].splitlines()[0] for upload in hub.uploads]
    assert titles == ["short, update 2", "short, update 4", "pushed-grpo"]
    assert "| GRPO | id |" in hub.uploads[2]["README.md"].decode()
    private = {"optimizer.pt", "scheduler.pt", "trainer_state.json", "stride_state.json", "training_args.bin"}
    assert not private & {name for upload in hub.uploads for name in upload}
    assert said.count("uploaded ") == 3
    assert [path.name.startswith("events") for path in (tmp_path / "run" / "tensorboard").iterdir()]


@pytest.mark.slow
def test_a_failed_upload_is_said_and_the_run_goes_on(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(HfApi, "upload_folder", fail)
    said = run(tmp_path, "push_to_hub.when=end")
    assert f"refused: no route; later: stride push {tmp_path / 'run' / 'models' / 'grpo'} me/short" in said
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
def test_the_best_model_goes_up_if_asked(tmp_path: Path, hub: Hub) -> None:
    """Evaluated after updates 2 and 4: with no right answer at either, the first stays the best."""
    best = ("push_to_hub.model=best", "push_to_hub.when=end", "eval.every=2")
    run(tmp_path, *best, "grpo.learning_rate=1e-2")
    (upload,) = hub.uploads
    models = tmp_path / "run" / "models"
    assert upload["model.safetensors"] == (models / "best" / "model.safetensors").read_bytes()
    assert "# pushed-best" in upload["README.md"].decode()


def test_the_best_model_needs_evaluations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"push_to_hub.model is best, but no best model is kept; set eval"):
        run(tmp_path, "push_to_hub.model=best")


def test_a_refusal_is_found_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(HfApi, "create_repo", fail)
    with pytest.raises(PushError, match=r"^cannot push to 'short': .* no route$"):
        run(tmp_path)
    assert not (tmp_path / "run").exists()
