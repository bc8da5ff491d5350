"""First embeddings of numbers with Fourier features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import make_env
from rl.models.number_features import NUM_FEATURES, PERIODS, directions, fourier_features, number_tokens
from rl.models.policy import Policy, load_policy

HIDDEN, SPREAD = 64, 0.1


def load(*, seed: int = 0, **settings: Any) -> Policy:
    size = {"hidden_size": HIDDEN, "num_layers": 1, "num_heads": 2, "intermediate_size": 32}
    tiny = TinyModelConfig(**size, initializer_range=SPREAD, number_digits=2, **settings)
    return load_policy(PolicyConfig(tiny=tiny), make_env("countdown"), seed=seed)


def embeddings(policy: Policy) -> torch.Tensor:
    weight: torch.Tensor = policy.model.get_input_embeddings().weight.data
    return weight


def test_only_the_embeddings_of_numbers_change_and_their_norms_stay() -> None:
    plain, policy = load(), load(number_features="fourier")
    values = number_tokens(policy.tokenizer)
    assert sorted(values.values()) == list(range(100))
    changed = (embeddings(plain) != embeddings(policy)).any(1).nonzero()[:, 0].tolist()
    assert changed == sorted(values)
    others = {name: value for name, value in plain.model.state_dict().items() if "embed" not in name}
    others.pop("lm_head.weight")  # tied
    weights = policy.model.state_dict()
    assert others and all(torch.equal(weights[name], value) for name, value in others.items())
    norms = embeddings(policy)[changed].norm(dim=1) / (SPREAD * HIDDEN**0.5)
    assert abs(float(norms.mean()) - 1) < 0.05 and float((norms - 1).abs().max()) < 0.3


def test_numbers_at_the_distance_of_a_period_are_nearest_in_its_plane() -> None:
    policy = load(number_features="fourier")
    values = number_tokens(policy.tokenizer)
    in_order = sorted(values, key=values.__getitem__)
    features = embeddings(policy)[in_order] @ directions(HIDDEN, 0)
    for period in (2, 5, 10):
        plane = 2 * PERIODS.index(period)
        x = features[:, plane : plane + 2]
        numbers = torch.arange(100)
        nearest = torch.stack([x[numbers % period == rest].mean(0) for rest in range(period)])
        right = torch.cdist(x, nearest).argmin(1) == numbers % period
        assert float(right.float().mean()) > 0.9


def test_a_number_with_a_sign_behind_it_has_the_features_of_the_number() -> None:
    policy = load(number_features="fourier", join_signs=True)
    vocabulary = policy.tokenizer.get_vocab()
    values = number_tokens(policy.tokenizer)
    assert values[vocabulary["17, "]] == values[vocabulary["17"]] == 17
    x = embeddings(policy) @ directions(HIDDEN, 0)
    with_sign, alone, other = (x[vocabulary[piece]] for piece in ("17, ", "17", "68"))
    assert float((with_sign - alone).norm()) < 0.7 * float((with_sign - other).norm())


def test_the_same_seed_gives_the_same_features_and_another_one_others() -> None:
    one, again, other = (embeddings(load(number_features="fourier", seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_products_are_sums_of_turns_of_the_logarithm() -> None:
    turns = fourier_features([6, 7, 42]).unflatten(1, (NUM_FEATURES // 2, 2))[:, len(PERIODS) :]
    six, seven, product = torch.view_as_complex(turns.contiguous())
    assert torch.allclose(six * seven, product, atol=1e-5)


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs 36 dimensions, but hidden_size is 32"):
        TinyModelConfig(hidden_size=32, number_features="fourier")
    assert NUM_FEATURES == 36
