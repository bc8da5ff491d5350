"""Model cards: metadata for the hub, and results for the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rl.models.card import model_card, write_model_card
from rl.runs.models import TrainedModel
from rl.runs.record import Stage
from tests.kit.runs_by_hand import traces, write_run


def trained(
    folder: Path, *, base: str = "tiny", revision: str | None = None, adapter: bool = False
) -> TrainedModel:
    """A run whose warm start solves 6 of 10 problems and whose GRPO solves 8, with its last model."""
    run = write_run(
        folder / "run",
        {Stage.WARM: traces(6), Stage.GRPO: traces(8)},
        policy={"model": base, "revision": revision},
        env={"name": "countdown"},
        rewards={"terms": [{"name": "correct", "weight": 1.0}, {"name": "step_count", "weight": -0.25}]},
    )
    (run / "provenance.json").write_text(json.dumps({"git_revision": "0123456789abcdef"}))
    path = run / "models" / "grpo"
    path.mkdir(parents=True)
    (path / ("adapter_config.json" if adapter else "config.json")).write_text("{}")
    return TrainedModel(path=path, run=run, stage=Stage.GRPO)


def metadata(card: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return data


def test_the_card_of_a_tiny_model(tmp_path: Path) -> None:
    card = model_card(trained(tmp_path), "short-grpo")
    assert metadata(card) == {"library_name": "transformers", "tags": ["stride", "grpo", "reasoning"]}
    for part in (
        "# short-grpo\n",
        "(revision 0123456789ab).",
        "- Task: `countdown`.",
        "- Base model: a small Llama with random weights (`tiny`).",
        "- Weights after the stage `grpo`: reinforcement learning with GRPO (arXiv 2402.03300,",
        "- Reward: 1 × `correct`, -0.25 × `step_count`.",
        "| warm start | id | 0.600 | 0.540 to 0.640 | 3.00 | 30.0 |",
        "| GRPO | id | 0.800 | 0.720 to 0.820 | 3.00 | 30.0 |",
        "```yaml\n",
    ):
        assert part in card, part


def test_a_model_at_line_positions_is_none_of_the_librarys(tmp_path: Path) -> None:
    model = trained(tmp_path)
    (model.path / "config.json").write_text(json.dumps({"line_stride": 64}))
    card = model_card(model, "lines")
    assert metadata(card)["library_name"] == "stride"
    assert "Nothing else loads it" in card


@pytest.mark.parametrize(("base", "positions"), [("tiny", "lines"), ("tiny", "columns"), ("folder", "")])
def test_an_adapter_on_a_model_at_line_positions_is_none_of_the_librarys(
    base: str, positions: str, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    lines.mkdir()
    (lines / "config.json").write_text(json.dumps({"line_stride": 64}))
    model = trained(tmp_path, base=base if base == "tiny" else str(lines), adapter=True)
    assert model.run is not None
    config = yaml.safe_load((model.run / "config.yaml").read_text())
    if base == "tiny":
        assert metadata(model_card(model, "x"))["library_name"] == "peft"
        config["policy"]["tiny"] = {"positions": positions}
        (model.run / "config.yaml").write_text(yaml.safe_dump(config))
    assert metadata(model_card(model, "x"))["library_name"] == "stride"
    (model.path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(lines)}))
    alone = TrainedModel(path=model.path)
    assert metadata(model_card(alone, "x"))["library_name"] == "stride"


@pytest.mark.parametrize("commit", [None, "c" * 40])
def test_the_revision_of_the_base_model_is_stated(commit: str | None, tmp_path: Path) -> None:
    """The commit that was loaded, or the branch asked for where no commit is known."""
    model = trained(tmp_path, base="someone/small", revision="v2")
    assert model.run is not None
    (model.run / "provenance.json").write_text(json.dumps({"model": {"revision": "v2", "commit": commit}}))
    assert f"- Base model: `someone/small` at revision `{commit or 'v2'}`." in model_card(model, "x")


def test_an_adapter_on_a_hub_model_names_it(tmp_path: Path) -> None:
    found = metadata(model_card(trained(tmp_path, base="someone/small", adapter=True), "x"))
    assert found["library_name"] == "peft" and found["base_model"] == "someone/small"
    assert "license" not in found  # nothing here says which


@pytest.mark.parametrize(
    ("front", "license_name"), [("license: apache-2.0", "apache-2.0"), ("tags: [a]", None)]
)
def test_a_base_model_in_a_folder_passes_its_license_on(
    front: str, license_name: str | None, tmp_path: Path
) -> None:
    base = tmp_path / "private" / "base"
    base.mkdir(parents=True)
    (base / "README.md").write_text(f"---\n{front}\n---\n# Base\n")
    card = model_card(trained(tmp_path, base=str(base)), "x")
    assert metadata(card).get("license") == license_name
    assert "base_model" not in metadata(card)
    assert "- Base model: `base`." in card and "private" not in card  # no path of this machine


def test_it_replaces_the_card_a_library_wrote(tmp_path: Path) -> None:
    model = trained(tmp_path)
    (model.path / "README.md").write_text("This is a PEFT adapter.")
    write_model_card(model, "x")
    assert (model.path / "README.md").read_text() == model_card(model, "x")
