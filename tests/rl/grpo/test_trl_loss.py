"""The update against TRL's own loss: one padded batch there, micro-batches of different widths here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from configs.schema.config import GrpoConfig, RolloutConfig
from envs import Split, make_env
from rl.grpo.arguments import grpo_arguments
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.models.policy import Policy
from rl.precision import Passes
from rl.trainer_arguments import NO_CHECKPOINTING
from rollout.types import FinishReason, RolloutGroup
from tests.kit.causal_models import full_forward
from tests.kit.rollouts import make_batch, make_group, make_sample, make_score
from tests.kit.scripted_pool import RecordingPool, ScriptedSource
from tests.kit.tiny_policy import tiny_policy

ENV = make_env("directional", {"train": [3], "ood_easy": [4], "ood_hard": [5]})
P, G, LIMIT = 3, 4, 12
PLAIN: dict[str, Any] = {
    "loss_type": "dapo",
    "importance_sampling_level": "token",
    "epsilon_high": 0.2,
    "delta": 3.0,
    "beta": 0.0,
    "use_bias_correction_kl": False,
    "use_vllm": False,
    "entropy_coef": 0.0,
    "_entropy_bonus_enabled": False,
    "top_entropy_quantile": 1.0,
}
HIGH = {"cispo": 5.0}  # a cap of its own, here the default; the others clip at 1.2
LOSS_TYPES = ["dapo", "grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"]


def make_groups(policy: Policy, noise: float = 0.4) -> list[RolloutGroup]:
    """Completions of 1 to 12 tokens; the sampler's log-probabilities are the learner's, off by noise.

    Ratios leave the clip range on both sides. Completions of 12 tokens were cut off.
    """
    generator = torch.Generator().manual_seed(5)
    groups = []
    for p in range(P):
        problem = ENV.problem(Split.TRAIN, p)
        prompt = policy.encoder.encode_prompt(problem)[p:]
        samples = []
        for g in range(G):
            length = LIMIT if g == 0 else int(torch.randint(1, LIMIT, (), generator=generator))
            ids = tuple(torch.randint(3, len(policy.tokenizer), (length,), generator=generator).tolist())
            with torch.no_grad():
                logprobs = full_forward(policy.model, prompt, ids)
            logprobs = logprobs + noise * torch.randn(length, generator=generator)
            reward = float(torch.rand((), generator=generator))
            sample = make_sample(make_score(reward), ids=ids, logprobs=logprobs.tolist())
            reason = FinishReason.LENGTH if length == LIMIT else FinishReason.STOP
            completion = dataclasses.replace(sample.completion, finish_reason=reason)
            samples.append(dataclasses.replace(sample, completion=completion))
        groups.append(make_group(problem, samples, number=p, prompt_ids=prompt))
    return groups


class Sides:
    """A learner of Stride's and one of TRL's with the same weights and the same reference."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = tiny_policy(ENV, seed=1, saved_to=folder / "model")
        for parameter in self.policy.model.parameters():  # near-uniform probabilities would hide mistakes
            parameter.data.mul_(2.0 if parameter.dim() > 1 else 1.0)
        self.policy.model.save_pretrained(folder / "model")
        self.groups = make_groups(self.policy)
        theirs = tiny_policy(ENV, seed=1, saved_to=folder / "theirs")
        theirs.model.load_state_dict(self.policy.model.state_dict())
        self.trl = GRPOTrainer(
            model=theirs.model,
            reward_funcs=[lambda **kwargs: [0.0]],
            args=GRPOConfig(
                output_dir=str(folder / "trl"),
                per_device_train_batch_size=P * G,
                num_generations=G,
                max_completion_length=LIMIT,
                use_cpu=True,
                bf16=False,
                report_to=[],
                **NO_CHECKPOINTING,
            ),
            train_dataset=Dataset.from_dict({"prompt": [""] * P}),
            processing_class=theirs.tokenizer,
        )
        self.trl.current_gradient_accumulation_steps = 1  # set where an epoch starts
        generator = torch.Generator().manual_seed(9)
        self.reference = tiny_policy(ENV, seed=1, saved_to=folder / "reference").model
        for name, parameter in self.reference.named_parameters():
            own = self.policy.model.get_parameter(name).data
            parameter.data = own * (1 + 0.2 * torch.randn(own.shape, generator=generator))

    @contextmanager
    def on_policy(self, nats: float) -> Iterator[None]:
        """The sampler agrees with the learner, but for one token in the completion of the least reward."""
        before = self.groups
        self.groups = make_groups(self.policy, noise=0.0)
        samples = list(self.groups[0].samples)
        worst = min(range(G), key=lambda g: samples[g].score.total)
        completion = samples[worst].completion
        logprobs = (completion.logprobs[0] - nats, *completion.logprobs[1:])
        completion = dataclasses.replace(completion, logprobs=logprobs)
        samples[worst] = dataclasses.replace(samples[worst], completion=completion)
        self.groups[0] = dataclasses.replace(self.groups[0], samples=tuple(samples))
        yield
        self.groups = before

    def stride(self, tokens: int = 60, **config: Any) -> tuple[float, torch.Tensor, dict[str, float]]:
        """Loss, gradient and figures of Stride's update."""
        grpo = GrpoConfig(problems_per_update=P, micro_batch_tokens=tokens, max_logprob_diff=None, **config)
        rollout = RolloutConfig(samples_per_problem=G, max_new_tokens=LIMIT)
        updates = Updates(
            ScriptedSource(make_batch(*self.groups)),  # type: ignore[arg-type]
            RecordingPool(),
            grpo,
            rollout,
            pad_id=self.policy.encoder.pad_id,
            on_rollouts=lambda update, rollouts, advantages: None,
        )
        arguments = grpo_arguments(
            grpo, rollout, folder=self.folder, seed=0, passes=Passes(cpu=True), report_to=[]
        )
        trainer = StrideTrainer(self.policy, updates, arguments, [])
        if trainer.ref_model is not None:
            trainer.ref_model.load_state_dict(self.reference.state_dict(), strict=False)
        trainer.current_gradient_accumulation_steps = 1
        self.policy.model.zero_grad()
        loss = trainer.training_step(self.policy.model, None)
        figures = {key: values[-1] for key, values in trainer._metrics["train"].items()}
        return loss.item(), flat_gradient(self.policy.model), figures

    def theirs(self, **settings: Any) -> tuple[float, torch.Tensor]:
        """Loss and gradient of `GRPOTrainer._compute_loss` on one padded batch.

        The settings are attributes of the trainer, or of its arguments where it reads them there.
        """
        trainer, settings = self.trl, {**PLAIN, **settings}
        for key, value in settings.items():
            setattr(trainer.args if key in ("delta", "use_bias_correction_kl") else trainer, key, value)
        trainer.model.zero_grad()
        loss = GRPOTrainer._compute_loss(trainer, trainer.model.train(), self.padded(settings))
        loss.backward()
        return loss.item(), flat_gradient(trainer.model)

    def padded(self, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
        rows = [(g, s.completion, s.score.total) for g in self.groups for s in g.samples]
        left = max(len(g.prompt_ids) for g, _, _ in rows)
        right = max(len(c.ids) for _, c, _ in rows)

        def prompts(values: list[tuple[Any, ...]]) -> torch.Tensor:
            return torch.tensor([(0,) * (left - len(row)) + tuple(row) for row in values])

        def completions(values: list[Any]) -> torch.Tensor:
            return torch.tensor([tuple(row) + (0,) * (right - len(row)) for row in values])

        with torch.no_grad():
            reference = [full_forward(self.reference, g.prompt_ids, c.ids).tolist() for g, c, _ in rows]
            old = [full_forward(self.policy.model, g.prompt_ids, c.ids).tolist() for g, c, _ in rows]
        mask = completions([(1,) * len(c.ids) for _, c, _ in rows])
        if settings.get("mask_truncated_completions"):
            kept = [int(c.finish_reason is FinishReason.STOP) for _, c, _ in rows]
            mask = mask * torch.tensor(kept)[:, None]
        rewards = torch.tensor([reward for _, _, reward in rows]).view(P, G)
        sampler = completions([c.logprobs for _, c, _ in rows])
        batch = {
            "prompt_ids": prompts([g.prompt_ids for g, _, _ in rows]),
            "prompt_mask": prompts([(1,) * len(g.prompt_ids) for g, _, _ in rows]),
            "completion_ids": completions([c.ids for _, c, _ in rows]),
            "completion_mask": mask,
            "advantages": (rewards - rewards.mean(1, keepdim=True)).flatten(),
            "old_per_token_logps": sampler,
            "ref_per_token_logps": completions(reference),
            "num_items_in_batch": mask.sum(),
        }
        if settings.get("use_vllm"):
            batch["old_per_token_logps"] = completions(old)
            batch["importance_sampling_ratio"] = vllm_ratio(completions(old), sampler, mask, settings)
        return batch


def vllm_ratio(
    old: torch.Tensor, sampler: torch.Tensor, mask: torch.Tensor, settings: dict[str, Any]
) -> torch.Tensor:
    """As `_generate_and_score_completions` of TRL 1.16 computes it."""
    mode = settings["vllm_importance_sampling_mode"]
    low, high = settings["vllm_importance_sampling_clip_min"], settings["vllm_importance_sampling_clip_max"]
    difference = (old - sampler) * mask
    if mode in ("sequence_mask", "sequence_truncate"):
        difference = difference.sum(-1, keepdim=True)
    ratio = torch.exp(difference)
    if mode in ("sequence_truncate", "token_truncate"):
        return torch.clamp(ratio, min=low, max=high)
    return ratio.masked_fill((ratio < low) | (ratio > high), 0.0)


def flat_gradient(model: torch.nn.Module) -> torch.Tensor:
    parts = dict(model.named_parameters())
    return torch.cat([parts[name].grad.flatten() for name in sorted(parts)])  # type: ignore[union-attr]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    return Sides(tmp_path_factory.mktemp("sides"))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_every_loss_type_is_trls_whatever_the_split(loss_type: str, sides: Sides) -> None:
    """Loss and gradient, without KL and with TRL's two forms of it."""
    for beta, corrected in ((0.0, False), (0.3, False), (0.3, True)):
        kl = {"beta": beta, "use_bias_correction_kl": corrected}
        loss, gradient = sides.theirs(**kl, **own_settings(loss_type))
        for tokens in (60, 10_000):
            found, own, _ = sides.stride(tokens, loss_type=loss_type, **kl)
            assert found == pytest.approx(loss, rel=1e-5, abs=1e-7), (kl, tokens)
            assert distance(own, gradient) < 1e-5, (kl, tokens)


def own_settings(loss_type: str) -> dict[str, Any]:
    """TRL's for a loss type as its paper has it."""
    level = "sequence" if loss_type == "luspo" else "token"
    return {
        "loss_type": loss_type,
        "importance_sampling_level": level,
        "epsilon_high": HIGH.get(loss_type, 0.2),
    }


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_importance_weights_are_trls(loss_type: str, sides: Sides) -> None:
    """TIS, MIS and IcePop with the learner's own old log-probabilities, beside a KL that they leave alone."""
    modes = ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]
    for mode in modes[:2] if loss_type == "vespo" else modes:
        loss, gradient = sides.theirs(
            use_vllm=True,
            vllm_importance_sampling_correction=True,
            vllm_importance_sampling_mode=mode,
            vllm_importance_sampling_clip_min=0.5,
            vllm_importance_sampling_clip_max=1.5,
            beta=0.3,
            **own_settings(loss_type),
        )
        found, own, figures = sides.stride(
            loss_type=loss_type,
            beta=0.3,
            importance_sampling_mode=mode,
            importance_sampling_clip_min=0.5,
            importance_sampling_clip_max=1.5,
        )
        assert found == pytest.approx(loss, rel=1e-5, abs=1e-7), mode
        assert distance(own, gradient) < 1e-5, mode
        tokens = sum(len(s.completion.ids) for group in sides.groups for s in group.samples)
        assert 0 < figures["sampling/importance_sampling_ratio/touched_tokens"] < tokens
        assert figures["sampling/importance_sampling_ratio/max"] == pytest.approx(1.5, abs=0.15)


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "luspo", "cispo"])
def test_sequence_level_ratios_are_trls(loss_type: str, sides: Sides) -> None:
    """GSPO is `grpo` with them."""
    settings = {**own_settings(loss_type), "importance_sampling_level": "sequence"}
    for corrected in (False, True):
        kl = {"beta": 0.3, "use_bias_correction_kl": corrected}
        loss, gradient = sides.theirs(**{**settings, **kl})
        found, own, _ = sides.stride(loss_type=loss_type, importance_sampling_level="sequence", **kl)
        assert found == pytest.approx(loss, rel=1e-5, abs=1e-7)
        assert distance(own, gradient) < 1e-5


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "bnpo", "vespo"])
@pytest.mark.parametrize("quantile", [1.0, 0.4])
def test_entropy_bonus_and_high_entropy_tokens_are_trls(loss_type: str, quantile: float, sides: Sides) -> None:
    loss, gradient = sides.theirs(
        entropy_coef=0.05,
        _entropy_bonus_enabled=True,
        top_entropy_quantile=quantile,
        beta=0.3,
        **own_settings(loss_type),
    )
    for tokens in (60, 10_000):
        found, own, _ = sides.stride(
            tokens, loss_type=loss_type, entropy_coef=0.05, top_entropy_quantile=quantile, beta=0.3
        )
        assert found == pytest.approx(loss, rel=1e-5, abs=1e-7)
        assert distance(own, gradient) < 1e-5


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_truncated_completions_without_a_loss_are_trls(loss_type: str, sides: Sides) -> None:
    loss, gradient = sides.theirs(mask_truncated_completions=True, beta=0.3, **own_settings(loss_type))
    for tokens in (60, 10_000):
        found, own, figures = sides.stride(tokens, loss_type=loss_type, mask_truncated=True, beta=0.3)
        assert found == pytest.approx(loss, rel=1e-5, abs=1e-7)
        assert distance(own, gradient) < 1e-5
        assert figures["masked_truncated"] == P


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_one_bad_token_does_not_take_over_the_gradient(loss_type: str, sides: Sides) -> None:
    """The sampler's log-probability of one token of a bad completion is 0 to 10 nats below the learner's."""
    norms, touched = [], []
    for nats in (0.0, 3.0, 6.0, 10.0):
        with sides.on_policy(nats):
            _, gradient, figures = sides.stride(loss_type=loss_type)
        norms.append(gradient.norm().item())
        touched.append(figures.get("clip_ratio/delta_tokens"))
    assert max(norms) < 5 * norms[0], norms
    if loss_type in ("dapo", "grpo", "bnpo", "dr_grpo"):
        assert touched == [0, 1, 1, 1]
        with sides.on_policy(10.0):
            _, gradient, _ = sides.stride(loss_type=loss_type, delta=None)
        assert gradient.norm().item() > 100 * norms[0]
