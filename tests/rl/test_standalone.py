"""What a command on one model remembers of it: another model, or engine, is refused when it goes on; how it
samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs import Config, check_config
from rl.runs.analysis import check_folder, open_folder
from rl.runs.errors import RunFolderError
from rl.runs.manifest import write_manifest
from rl.standalone import model_settings, sampling_settings, with_model
from tests.kit.tiny_config import tiny_config


def config(**rollout: Any) -> Config:
    return check_config(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "rollout": rollout,
        }
    )


def settings(model: Path, **rollout: Any) -> dict[str, Any]:
    return {**model_settings(*with_model(str(model), config(**rollout))), "env": {}}


@pytest.mark.parametrize("listed", [True, False], ids=["with manifest", "without"])
def test_a_model_whose_weights_have_changed_is_another(listed: bool, tmp_path: Path) -> None:
    model, folder = tmp_path / "model", tmp_path / "search"
    model.mkdir()

    def train(weights: str) -> dict[str, Any]:
        (model / "model.safetensors").write_text(weights)
        if listed:
            write_manifest(model)
        return settings(model)

    first = train("first")
    open_folder(folder, "search", first, config(), None, resume=False).close()
    check_folder(folder, "search", train("first"), resume=True)
    with pytest.raises(
        RunFolderError, match=r"has model_sha256 \w{64}, and \w{64} is given; give the same, or"
    ):
        check_folder(folder, "search", train("other"), resume=True)
    train("first")
    with pytest.raises(RunFolderError, match="has engine torch, and vllm is given"):
        check_folder(folder, "search", settings(model, engine="vllm"), resume=True)


def test_samples_are_drawn_as_the_section_eval_says() -> None:
    config = check_config(
        tiny_config("eval: {temperature: 0.7, top_p: 0.9, top_k: 5, max_new_tokens: {ood_hard: 60}}")
    )
    drawn = {"temperature": 0.7, "top_p": 0.9, "top_k": 5}
    assert sampling_settings(config, "ood_hard") == {**drawn, "max_new_tokens": 60}
    assert sampling_settings(config, "id") == {**drawn, "max_new_tokens": 40}
