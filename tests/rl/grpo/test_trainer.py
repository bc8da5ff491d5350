"""The learner against first principles, on groups written by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from configs.schema.config import LoraSettings
from rl.grpo.advantages import group_advantages
from rl.grpo.logprob_check import LogprobMismatchError
from rl.grpo.micro_batches import make_rows
from rl.grpo.zero_signal import StalledError
from rl.models.policy import Policy, trainable_weights
from rl.pass_cuts import cut_passes
from rollout.types import FinishReason, RolloutGroup
from tests.kit.causal_models import full_forward
from tests.kit.one_update import G, P, make_groups, make_policy, run


def gradient(policy: Policy, groups: list[RolloutGroup], loss_type: str) -> tuple[float, float]:
    """Loss and gradient norm of one on-policy update, written out term by term."""
    advantages = [group_advantages(torch.tensor(group.rewards)) for group in groups]
    total_tokens = sum(len(s.completion.ids) for group in groups for s in group.samples)
    loss = torch.zeros(())
    policy.model.zero_grad()
    for group, row in zip(groups, advantages, strict=True):
        for sample, advantage in zip(group.samples, row, strict=True):
            new = full_forward(policy.model, group.prompt_ids, sample.completion.ids)
            surrogate = -(torch.exp(new - torch.tensor(sample.completion.logprobs)) * advantage)
            share = {
                "dapo": surrogate.sum() / total_tokens,  # every token weighs the same
                "bnpo": surrogate.sum() / total_tokens,
                "grpo": surrogate.mean() / (P * G),  # every completion weighs the same
                "dr_grpo": surrogate.sum() / (P * G * 256),  # a constant length, rollout.max_new_tokens
            }
            loss = loss + share[loss_type]
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in policy.model.parameters() if p.grad is not None]).norm()
    policy.model.zero_grad()
    return loss.item(), norm.item()


@pytest.mark.parametrize(
    "loss_type",
    ["dapo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("grpo", "bnpo", "dr_grpo"))],
)
def test_loss_and_gradient_are_the_formula_whatever_the_split(loss_type: str, tmp_path: Path) -> None:
    """One forward of 12 rows, micro-batches of rows of different lengths, or of one row: the same update."""
    reference = make_policy()
    groups = make_groups(reference)
    loss, norm = gradient(reference, groups, loss_type)
    after = []
    for tokens, num_parts in ((10000, 1), (120, 3), (60, 5), (1, 12)):
        policy = make_policy()
        lengths = [row.length for row in make_rows(groups, [[0.0] * G] * P)]
        assert len(cut_passes(lengths, tokens)) == num_parts
        rows, _ = run(policy, groups, tmp_path / str(tokens), loss_type=loss_type, micro_batch_tokens=tokens)
        assert rows[0]["loss"] == pytest.approx(loss, abs=1e-6)
        assert rows[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
        after.append(torch.cat([p.detach().flatten() for p in policy.model.parameters()]))
    for weights in after[1:]:
        assert torch.allclose(weights, after[0], atol=2e-5)


def test_zero_variance_groups_do_not_dilute_the_others(tmp_path: Path) -> None:
    """Two zero-variance groups beside one with a signal: the gradient is that of the latter alone."""
    reference = make_policy()
    groups = make_groups(reference, rewards=[[1.0] * 4, [1.0, 0.0, 0.0, 0.5], [0.0] * 4])
    alone = [groups[1]]
    assert group_advantages(torch.tensor(groups[1].rewards)).abs().sum() > 0
    one, _ = run(make_policy(), groups, tmp_path / "a", micro_batch_tokens=60)
    two, _ = run(make_policy(), alone, tmp_path / "b", problems_per_update=1)
    assert one[0]["grad_norm"] == pytest.approx(two[0]["grad_norm"], rel=1e-4)
    assert one[0]["groups/useful_frac"] == pytest.approx(1 / 3)
    assert one[0]["groups/all_wrong"] == pytest.approx(2 / 3)


def test_the_samplers_logprobs_are_the_old_ones(tmp_path: Path) -> None:
    """Shifted by -0.1, every ratio is e^0.1 = 1.105: inside the clip range of 0.2, outside that of 0.05."""
    policy = make_policy()
    on, off = make_groups(policy), make_groups(policy, shift=0.1)
    rows_on, _ = run(make_policy(), on, tmp_path / "on")
    rows_off, _ = run(make_policy(), off, tmp_path / "off")
    rows_clipped, _ = run(make_policy(), off, tmp_path / "clipped", epsilon=0.05)
    assert rows_on[0]["logprob_diff/max"] < 1e-5
    assert rows_off[0]["logprob_diff/mean"] == pytest.approx(0.1, abs=1e-5)
    assert rows_off[0]["grad_norm"] == pytest.approx(rows_on[0]["grad_norm"] * 1.10517, rel=1e-3)
    assert rows_on[0]["clip_ratio/region_mean"] == rows_off[0]["clip_ratio/region_mean"] == 0.0
    assert rows_clipped[0]["clip_ratio/region_mean"] > 0.2
    assert rows_clipped[0]["grad_norm"] < rows_off[0]["grad_norm"]


def test_importance_weights_leave_the_ratio_to_later_updates(tmp_path: Path) -> None:
    """The sampler is 0.1 nats below the learner: the weight e^0.1 = 1.105 takes that, whatever the clip
    range."""
    policy = make_policy()
    plain, _ = run(make_policy(), make_groups(policy), tmp_path / "plain", num_iterations=2, updates=2)
    off = make_groups(policy, shift=0.1)
    weights = {"importance_sampling_mode": "token_truncate", "importance_sampling_clip_max": 1.5}
    rows, _ = run(
        make_policy(),
        off,
        tmp_path / "off",
        epsilon=0.05,
        num_iterations=2,
        updates=2,
        micro_batch_tokens=60,
        **weights,
    )
    assert rows[0]["grad_norm"] == pytest.approx(plain[0]["grad_norm"] * 1.10517, rel=1e-3)
    assert rows[0]["clip_ratio/region_mean"] == 0.0
    assert rows[0]["logprob_diff/mean"] == pytest.approx(0.1, abs=1e-5)  # still against the sampler
    for figure in ("min", "mean", "max"):
        found = rows[0][f"sampling/importance_sampling_ratio/{figure}"]
        assert found == pytest.approx(1.10517, rel=1e-4)
    assert rows[0]["sampling/importance_sampling_ratio/touched_tokens"] == 0
    # The second update has moved away from the old learner, not from the sampler.
    tight, _ = run(make_policy(), off, tmp_path / "tight", epsilon=1e-5, num_iterations=2, updates=2, **weights)
    assert tight[0]["clip_ratio/region_mean"] == 0.0 and tight[1]["clip_ratio/region_mean"] > 0.2


def test_an_update_whose_completions_were_all_cut_off_changes_nothing(tmp_path: Path) -> None:
    """Neither by the policy loss nor by the KL and the entropy."""
    policy = make_policy(tmp_path / "start")
    groups = [
        dataclasses.replace(
            group,
            samples=tuple(
                dataclasses.replace(
                    sample,
                    completion=dataclasses.replace(sample.completion, finish_reason=FinishReason.LENGTH),
                )
                for sample in group.samples
            ),
        )
        for group in make_groups(policy)
    ]
    settings = {"mask_truncated": True, "beta": 0.5, "entropy_coef": 0.1}
    rows, _ = run(policy, groups, tmp_path / "run", updates=2, **settings)
    assert [row["grad_norm"] for row in rows] == [0.0, 0.0]
    assert rows[0]["masked_truncated"] == P * G


@pytest.mark.parametrize("family", ["gpt2", "mamba"])
def test_padding_changes_no_logprob(family: str, tmp_path: Path) -> None:
    """For learnt positions, and for a recurrent state that all tokens pass through."""
    torch.manual_seed(0)
    policy = make_policy()
    size = {"vocab_size": len(policy.tokenizer), "hidden_size": 32, "bos_token_id": 1, "eos_token_id": 1}
    model: Any = MambaForCausalLM(MambaConfig(**size, num_hidden_layers=2, state_size=4, pad_token_id=0))
    if family == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(**size, n_layer=2, n_head=2, n_positions=64))
    for parameter in model.parameters():  # near-uniform probabilities would hide mistakes
        parameter.data.mul_(3.0 if parameter.dim() > 1 else 1.0)
    policy = dataclasses.replace(policy, model=model.double().eval())  # rounding is far below the bound
    rows, _ = run(policy, make_groups(policy), tmp_path, micro_batch_tokens=120)
    assert rows[0]["logprob_diff/max"] < 1e-5


def test_a_mixture_of_experts_trains(tmp_path: Path) -> None:
    """Its load-balancing loss, which would depend on the split, is off."""
    torch.manual_seed(0)
    policy = make_policy()
    size = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = MixtralConfig(vocab_size=len(policy.tokenizer), num_hidden_layers=1, num_local_experts=4, **size)
    policy = dataclasses.replace(policy, model=MixtralForCausalLM(config).eval())
    rows, _ = run(policy, make_groups(policy), tmp_path, micro_batch_tokens=120)
    assert rows[0]["logprob_diff/max"] < 1e-5
    assert rows[0]["grad_norm"] > 0


def test_sampler_and_learner_that_disagree_stop_the_run(tmp_path: Path) -> None:
    policy = make_policy()
    with pytest.raises(LogprobMismatchError, match=r"differ by 0\.1.* over grpo\.max_logprob_diff \(0\.01\)"):
        run(policy, make_groups(policy, shift=0.1), tmp_path, max_logprob_diff=0.01)


def test_weights_are_published_once_an_update_before_sampling(tmp_path: Path) -> None:
    policy = make_policy()
    first = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    rows, pool = run(policy, make_groups(policy), tmp_path, updates=4, micro_batch_tokens=60, num_iterations=2)
    assert pool.versions == [0, 2]  # a batch serves two updates
    assert all(torch.equal(first[name], tensor) for name, tensor in pool.published[0][1].items())
    assert any(not torch.equal(first[name], tensor) for name, tensor in pool.published[1][1].items())
    assert len(rows) == 4
    assert "reward" in rows[0] and "reward" not in rows[1]  # the second pass samples nothing
    assert ["tokens/sampled" in row for row in rows] == [True, False, True, False]


def test_weights_stay_float32(tmp_path: Path) -> None:
    policy = make_policy()
    run(policy, make_groups(policy), tmp_path, updates=2, learning_rate=1e-6)
    assert {p.dtype for p in policy.model.parameters()} == {torch.float32}


def test_an_update_on_zero_variance_groups_changes_nothing(tmp_path: Path) -> None:
    policy = make_policy()
    before = [p.detach().clone() for p in policy.model.parameters()]
    groups = make_groups(policy, rewards=[[0.25] * G] * P)
    rows, _ = run(policy, groups, tmp_path, updates=3)
    assert all(row["grad_norm"] == 0.0 for row in rows)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_a_run_that_learns_nothing_stops_and_says_why(tmp_path: Path) -> None:
    policy = make_policy()
    groups = make_groups(policy, rewards=[[0.0] * G] * P)
    with pytest.raises(
        StalledError, match=r"no group of the last 20 updates .*'all_wrong': 3.*change env\.settings"
    ):
        run(policy, groups, tmp_path, updates=30)


def test_lora_trains_and_publishes_the_adapter_alone(tmp_path: Path) -> None:
    policy = make_policy(tmp_path / "start", lora=LoraSettings(r=2, alpha=4))
    frozen = {n: p.detach().clone() for n, p in policy.model.named_parameters() if not p.requires_grad}
    _, pool = run(policy, make_groups(policy), tmp_path / "run", updates=2)
    published = pool.published[1][1]
    assert published and all("lora_" in name for name in published)
    assert published.keys() == trainable_weights(policy.model).keys()
    assert any(tensor.abs().sum() > 0 for name, tensor in published.items() if "lora_B" in name)
    own = dict(policy.model.named_parameters())
    assert all(torch.equal(own[name], tensor) for name, tensor in frozen.items())


@pytest.mark.parametrize("lora", [None, LoraSettings(r=2, alpha=4)])
def test_the_reference_is_the_model_grpo_starts_from(lora: LoraSettings | None, tmp_path: Path) -> None:
    """KL is 0 before the first update and positive after it."""
    policy = make_policy(tmp_path / "start", lora=lora)
    rows, _ = run(policy, make_groups(policy), tmp_path / "run", updates=2, beta=0.1, learning_rate=1e-2)
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert rows[1]["kl"] > 1e-5


def test_useful_positions_are_those_of_the_forward_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make_policy()
    groups = make_groups(policy)
    shapes = []
    forward = policy.model.model.forward

    def watched(**kwargs: Any) -> Any:
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(**kwargs)

    monkeypatch.setattr(policy.model.model, "forward", watched)
    rows, _ = run(policy, groups, tmp_path, micro_batch_tokens=120)
    tokens = sum(len(g.prompt_ids) + len(s.completion.ids) for g in groups for s in g.samples)
    assert len(shapes) == 3
    assert rows[0]["useful_positions"] == pytest.approx(tokens / sum(b * width for b, width in shapes))


def test_metrics_of_an_update_do_not_depend_on_the_split(tmp_path: Path) -> None:
    groups = make_groups(make_policy(), shift=0.1)
    one, _ = run(make_policy(), groups, tmp_path / "one", epsilon=0.05)
    many, _ = run(make_policy(), groups, tmp_path / "many", epsilon=0.05, micro_batch_tokens=60)
    for key in ("entropy", "clip_ratio/region_mean", "clip_ratio/low_min", "clip_ratio/high_max"):
        assert many[0][key] == pytest.approx(one[0][key], abs=1e-5), key
    assert one[0]["clip_ratio/high_max"] > 0
