"""The model made from scratch: how its layers know the order of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rl.models.policy import load_policy
from rollout.column_positions import ColumnPositions
from rollout.line_llama import LineLlamaConfig, LineLlamaModel
from rollout.line_window import LineWindow

ENV = make_env("directional")
SIZE: dict[str, Any] = {"hidden_size": 16, "num_layers": 4, "num_heads": 2, "intermediate_size": 32}
IDS = torch.tensor([[3, 4, 5, 6, 7, 5, 4, 3, 8, 9]])


def make(**settings: Any) -> PreTrainedModel:
    policy = load_policy(PolicyConfig(tiny=TinyModelConfig(**SIZE, **settings)), ENV, seed=0)
    for parameter in policy.model.parameters():  # near-uniform attention would hide positions
        parameter.data.mul_(8.0 if parameter.dim() > 1 else 1.0)
    return policy.model.eval()


def last_logits(model: PreTrainedModel, positions: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, position_ids=positions).logits[0, -1]


@pytest.mark.parametrize(("positions", "reads"), [("rotary", True), ("none", False), ("hybrid", True)])
def test_distances_count_only_where_a_layer_is_rotary(positions: str, reads: bool) -> None:
    model = make(positions=positions)
    spread = 3 * torch.arange(IDS.shape[1])[None]
    assert torch.equal(last_logits(model), last_logits(model, spread)) is not reads
    # The order counts in any case: the causal mask gives it away.
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(
        parameter.numel() for parameter in make().parameters()
    )


def test_every_other_layer_of_a_hybrid_is_rotary() -> None:
    config: Any = make(positions="hybrid", rotary_window=4).config
    assert config.no_rope_layers == [1, 0, 1, 0]
    assert config.layer_types == ["sliding_attention", "full_attention"] * 2
    assert config.sliding_window == 4


@pytest.mark.parametrize("settings", [{"positions": "none"}, {"positions": "hybrid", "rotary_window": 4}])
def test_saved_it_is_an_ordinary_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    model = make(**settings)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(last_logits(loaded), last_logits(model))


def test_at_line_positions_it_is_a_type_of_its_own_that_stride_loads(tmp_path: Path) -> None:
    policy = load_policy(
        PolicyConfig(tiny=TinyModelConfig(**SIZE, positions="lines", line_stride=16, line_window=3)),
        ENV,
        seed=0,
    )
    policy.save(tmp_path)
    model = load_policy(PolicyConfig(model=str(tmp_path)), ENV, seed=1).model
    assert isinstance(model.config, LineLlamaConfig)
    (newline,) = model.config.newline_token_ids
    assert policy.tokenizer.decode([newline]) == "\n"
    assert model.config.positions.stride == 16
    assert model.config.window == LineWindow(lines=3, newline_ids=(newline,))
    assert torch.equal(last_logits(model.eval()), last_logits(policy.model.eval()))  # type: ignore[arg-type]
    layers = AutoModel.from_pretrained(tmp_path)
    assert type(layers) is LineLlamaModel and layers.config.window == model.config.window


def test_at_column_positions_a_saved_folder_has_the_digits(tmp_path: Path) -> None:
    policy = load_policy(PolicyConfig(tiny=TinyModelConfig(**SIZE, positions="columns")), ENV, seed=0)
    policy.save(tmp_path)
    config: Any = load_policy(PolicyConfig(model=str(tmp_path)), ENV, seed=1).model.config
    assert isinstance(config.positions, ColumnPositions)
    assert config.positions == policy.model.config.positions  # type: ignore[union-attr]
    assert {*policy.tokenizer.decode([*config.positions.digit_ids])} == {*"0123456789"}


@pytest.mark.parametrize("positions", ["rotary", "none"])
def test_a_window_needs_layers_that_see_everything(positions: str) -> None:
    with pytest.raises(ValidationError, match=f"rotary_window is 8, but positions is {positions}; set posi"):
        TinyModelConfig(positions=positions, rotary_window=8)


def test_a_window_over_lines_needs_line_positions() -> None:
    with pytest.raises(ValidationError, match="line_window is 3, but positions is rotary; set posi"):
        TinyModelConfig(line_window=3)


@pytest.mark.parametrize("positions", ["rotary", "none"])
def test_first_weights_are_as_wide_as_configured(positions: str) -> None:
    policy = load_policy(
        PolicyConfig(tiny=TinyModelConfig(**SIZE, positions=positions, initializer_range=0.3)), ENV, seed=0
    )
    matrix = policy.model.get_parameter("model.layers.0.mlp.up_proj.weight")
    assert 0.25 < float(matrix.detach().std()) < 0.35
