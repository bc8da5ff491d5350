"""An update of the warm start in passes: loss, gradient and figures do not depend on the cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from configs.schema.config import PolicyConfig, WarmStartConfig
from envs import make_env
from rl.models.policy import Policy, load_policy
from rl.sft.encode import IGNORED, encode_phases
from rl.sft.examples import make_phases
from tests.kit.tiny_policy import TINY
from tests.kit.warm_starts import run_warm_start

ENV = make_env("addition", {"train": ["1_1", "3_3"]})
BATCH = 12


class Log(TrainerCallback):
    """What an update logs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if "loss" in kwargs["logs"]:
            self.rows.append(dict(kwargs["logs"]))


def train(
    folder: Path, pass_tokens: int | None = None, micro: int | None = None, **attributes: Any
) -> tuple[Policy, Any, Any]:
    """Two updates on demonstrations of 1 and of 3 digits, by a model with the given attributes.

    Returns:
        The policy, what was logged, and rows and width of every pass.
    """
    policy = load_policy(PolicyConfig(tiny=TINY), ENV, seed=0)
    config = WarmStartConfig(
        updates=2, num_problems=40, batch_size=BATCH, warmup_frac=0, micro_batch_size=micro
    )
    for name, value in attributes.items():
        setattr(policy.model, name, value)
    shapes: list[tuple[int, int]] = []
    policy.model.model.register_forward_pre_hook(
        lambda module, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    log = Log()
    run_warm_start(policy, ENV, config, folder, callbacks=[log], pass_tokens=pass_tokens)
    return policy, log.rows, shapes


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()])


def test_the_cuts_change_nothing_but_the_padding(tmp_path: Path) -> None:
    policy, rows, shapes = train(tmp_path / "a")
    assert len({width for _, width in shapes}) > 1  # demonstrations of like length share a pass
    assert sum(num for num, _ in shapes) == 2 * BATCH
    splits: dict[str, dict[str, Any]] = {
        "tokens": {"pass_tokens": 100},
        "rows": {"micro": 5},
        "single": {"micro": 1, "accepts_loss_kwargs": False},  # as some models say of themselves
    }
    for name, limits in splits.items():
        other, logged, passes = train(tmp_path / name, **limits)
        assert len(passes) > len(shapes)
        assert all(num <= limits.get("micro", BATCH) for num, _ in passes)
        assert all(num == 1 or num * width <= limits.get("pass_tokens", 10**6) for num, width in passes)
        assert torch.allclose(weights(other), weights(policy), atol=2e-5)
        for one, two in zip(rows, logged, strict=True):
            for figure in ("loss", "grad_norm", "mean_token_accuracy", "entropy", "num_tokens"):
                assert two[figure] == pytest.approx(one[figure], rel=1e-4), figure


def test_the_loss_is_the_mean_of_all_taught_tokens_of_an_update(tmp_path: Path) -> None:
    _, rows, _ = train(tmp_path, pass_tokens=100)
    policy = load_policy(PolicyConfig(tiny=TINY), ENV, seed=0)
    config = WarmStartConfig(updates=2, num_problems=40, batch_size=BATCH)
    first = encode_phases(make_phases(ENV, [], config, seed=0), policy.encoder, batch_size=BATCH, seed=0)
    total, right, num = 0.0, 0, 0
    for row in first.select(range(BATCH)):
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        with torch.no_grad():
            logprobs = policy.model(ids).logits[0, :-1].log_softmax(-1)
        taught = labels[1:] != IGNORED
        total -= float(logprobs[taught, labels[1:][taught]].sum())
        right += int((logprobs.argmax(-1) == labels[1:])[taught].sum())
        num += int(taught.sum())
    assert rows[0]["loss"] == pytest.approx(total / num, rel=1e-4)
    assert rows[0]["mean_token_accuracy"] == pytest.approx(right / num, rel=1e-4)


def test_a_given_number_of_rows_is_kept_whatever_the_tokens(tmp_path: Path) -> None:
    _, _, shapes = train(tmp_path, pass_tokens=1, micro=BATCH)
    assert max(num for num, _ in shapes) > 1
