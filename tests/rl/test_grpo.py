"""The learner against first principles, on groups written by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from configs.schema import GrpoConfig, LoraSettings, PolicyConfig, RolloutConfig, TinyModelConfig
from envs import Split, make_env, parse_trace
from rewards import Outcome, Score
from rl.credit import group_advantages
from rl.grpo import LogprobMismatchError, StalledError, StrideTrainer, trainable_weights
from rl.micro_batch import make_rows, split_rows
from rl.policy import Policy, load_policy
from rollout.source import Harvest, why_useless
from rollout.types import Completion, FinishReason, RolloutGroup, Sample

ENV = make_env("directional", {"train": [3], "ood_easy": [4], "ood_hard": [5]})
TINY = TinyModelConfig(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, max_positions=64)
P, G = 3, 4


def make_policy(folder: Path | None = None, **config: Any) -> Policy:
    policy = load_policy(PolicyConfig(tiny=TINY, **config), ENV, seed=1)
    if folder is None:
        return policy
    policy.save(folder)
    return load_policy(PolicyConfig(tiny=TINY, **config), ENV, seed=1, checkpoint=folder)


def logps(model: torch.nn.Module, prompt: tuple[int, ...], ids: tuple[int, ...]) -> torch.Tensor:
    """Log-probability of each completion token at temperature 1, without padding or batch."""
    logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)


def make_groups(
    policy: Policy, *, shift: float = 0.0, rewards: list[list[float]] | None = None
) -> list[RolloutGroup]:
    """P groups of G random completions of lengths 1 to 12; the sampler's logprobs are the policy's, shifted."""
    generator = torch.Generator().manual_seed(5)
    groups = []
    for p in range(P):
        problem = ENV.problem(Split.TRAIN, p)
        prompt = policy.encoder.encode_prompt(problem.prompt)[p:]  # prompts of different lengths
        samples = []
        for g in range(G):
            length = int(torch.randint(1, 13, (), generator=generator))
            ids = tuple(torch.randint(3, len(policy.tokenizer), (length,), generator=generator).tolist())
            with torch.no_grad():
                logprobs = tuple((logps(policy.model, prompt, ids) - shift).tolist())
            reward = rewards[p][g] if rewards else float(torch.rand((), generator=generator))
            samples.append(make_sample(ids, logprobs, reward))
        groups.append(RolloutGroup(group_id=p, problem=problem, prompt_ids=prompt, samples=tuple(samples)))
    return groups


def make_sample(ids: tuple[int, ...], logprobs: tuple[float, ...], reward: float) -> Sample:
    return Sample(
        completion=Completion(ids=ids, logprobs=logprobs, finish_reason=FinishReason.STOP, weight_version=0),
        text="",
        trace=parse_trace(""),
        score=Score(total=reward, parts={"correct": reward}, outcome=Outcome.WRONG),
    )


class ScriptedSource:
    """Hands out the same groups at every update."""

    def __init__(self, groups: list[RolloutGroup]) -> None:
        self.cursor = 0
        self.groups = groups

    def next_update(self, num_groups: int) -> Harvest:
        self.cursor += len(self.groups)
        causes = [why_useless(group) for group in self.groups]
        return Harvest(
            useful=tuple(g for g, cause in zip(self.groups, causes, strict=True) if cause is None),
            sampled=tuple(self.groups),
            useless=Counter(cause for cause in causes if cause is not None),
            sample_s=0.1,
            score_s=0.1,
        )


class RecordingPool:
    """Takes weights and keeps them."""

    def __init__(self) -> None:
        self.published: list[tuple[int, dict[str, torch.Tensor]]] = []

    def publish(self, weights: Mapping[str, torch.Tensor], version: int) -> None:
        self.published.append((version, {name: tensor.clone() for name, tensor in weights.items()}))

    def close(self) -> None: ...


class Logs(TrainerCallback):
    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.rows.append(dict(logs))


def run(
    policy: Policy, groups: list[RolloutGroup], folder: Path, **config: Any
) -> tuple[list[dict[str, float]], RecordingPool]:
    pool, logs = RecordingPool(), Logs()
    settings: dict[str, Any] = {
        "updates": 1,
        "problems_per_update": P,
        "learning_rate": 1e-3,
        "max_grad_norm": 1e9,
    }
    trainer = StrideTrainer(
        policy,
        ScriptedSource(groups),  # type: ignore[arg-type]
        pool,  # type: ignore[arg-type]
        GrpoConfig(**{**settings, **config}),
        RolloutConfig(samples_per_problem=G),
        folder=folder,
        seed=0,
        cpu=True,
        report_to=[],
        callbacks=[logs],
        on_harvest=lambda update, harvest: None,
    )
    trainer.run()
    return logs.rows, pool


def gradient(policy: Policy, groups: list[RolloutGroup], loss_type: str) -> tuple[float, float]:
    """Loss and gradient norm of one on-policy update, written out term by term."""
    advantages = [group_advantages(torch.tensor(group.rewards)) for group in groups]
    total_tokens = sum(len(s.completion.ids) for group in groups for s in group.samples)
    loss = torch.zeros(())
    policy.model.zero_grad()
    for group, row in zip(groups, advantages, strict=True):
        for sample, advantage in zip(group.samples, row, strict=True):
            new = logps(policy.model, group.prompt_ids, sample.completion.ids)
            surrogate = -(torch.exp(new - torch.tensor(sample.completion.logprobs)) * advantage)
            share = {
                "dapo": surrogate.sum() / total_tokens,  # every token alike
                "bnpo": surrogate.sum() / total_tokens,
                "grpo": surrogate.mean() / (P * G),  # every completion alike
                "dr_grpo": surrogate.sum() / (P * G * 256),  # a constant length, rollout.max_new_tokens
            }
            loss = loss + share[loss_type]
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in policy.model.parameters() if p.grad is not None]).norm()
    policy.model.zero_grad()
    return loss.item(), norm.item()


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "bnpo", "dr_grpo"])
def test_loss_and_gradient_are_the_formula_whatever_the_split(loss_type: str, tmp_path: Path) -> None:
    """One forward of 12 rows, or 2, 4 or 12 micro-batches of rows of unlike lengths: the same update."""
    reference = make_policy()
    groups = make_groups(reference)
    loss, norm = gradient(reference, groups, loss_type)
    after = []
    for micro in (12, 6, 3, 1):
        policy = make_policy()
        rows, _ = run(policy, groups, tmp_path / str(micro), loss_type=loss_type, micro_batch_size=micro)
        assert rows[0]["loss"] == pytest.approx(loss, abs=1e-6)
        assert rows[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
        after.append(torch.cat([p.detach().flatten() for p in policy.model.parameters()]))
    for weights in after[1:]:
        assert torch.allclose(weights, after[0], atol=2e-5)


def test_useless_groups_do_not_dilute_the_useful_ones(tmp_path: Path) -> None:
    """Two groups of equal rewards beside one useful: the gradient is that of the useful group alone."""
    reference = make_policy()
    groups = make_groups(reference, rewards=[[1.0] * 4, [1.0, 0.0, 0.0, 0.5], [0.0] * 4])
    alone = [groups[1]]
    assert group_advantages(torch.tensor(groups[1].rewards)).abs().sum() > 0
    one, _ = run(make_policy(), groups, tmp_path / "a", micro_batch_size=3)
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


def test_sampler_and_learner_that_disagree_stop_the_run(tmp_path: Path) -> None:
    policy = make_policy()
    with pytest.raises(LogprobMismatchError, match=r"differ by 0\.1.* over grpo\.max_logprob_diff \(0\.01\)"):
        run(policy, make_groups(policy, shift=0.1), tmp_path, max_logprob_diff=0.01)


def test_weights_are_published_once_an_update_before_sampling(tmp_path: Path) -> None:
    policy = make_policy()
    first = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    rows, pool = run(policy, make_groups(policy), tmp_path, updates=4, micro_batch_size=4, num_iterations=2)
    assert [version for version, _ in pool.published] == [0, 2]  # a batch serves two updates
    assert all(torch.equal(first[name], tensor) for name, tensor in pool.published[0][1].items())
    assert any(not torch.equal(first[name], tensor) for name, tensor in pool.published[1][1].items())
    assert len(rows) == 4
    assert "reward" in rows[0] and "reward" not in rows[1]  # the second pass samples nothing


def test_weights_stay_float32(tmp_path: Path) -> None:
    policy = make_policy()
    run(policy, make_groups(policy), tmp_path, updates=2, learning_rate=1e-6)
    assert {p.dtype for p in policy.model.parameters()} == {torch.float32}


def test_an_update_on_groups_that_teach_nothing_changes_nothing(tmp_path: Path) -> None:
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


def test_rows_are_sorted_by_length_and_no_row_is_lost() -> None:
    groups = make_groups(make_policy())
    rows = make_rows(groups, torch.arange(P * G).reshape(P, G).tolist())
    parts = split_rows(rows, 5)
    assert [len(part) for part in parts] == [3, 3, 2, 2, 2]  # 12 rows in 5 parts
    lengths = [len(row.prompt_ids) + len(row.ids) for part in parts for row in part]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(row.advantages[0] for part in parts for row in part) == list(range(P * G))
