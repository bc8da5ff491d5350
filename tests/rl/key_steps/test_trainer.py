"""Training on pairs: what is padded and counted, that it learns, and that it goes on bit for bit."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from configs import ConfigError
from configs.schema.config import LoraSettings
from configs.schema.key_steps import KeyStepsConfig
from envs.tasks.directional import Directional
from rl.key_steps.duals import Dual, make_duals
from rl.key_steps.pairs import collate, encode_pairs, in_order
from rl.key_steps.trainer import train_key_steps
from rl.models.policy import Policy
from rl.precision import Passes
from rl.runs.forecast import Kind, Work
from rl.runs.log import metrics_log
from rl.runs.progress import Task
from rl.runs.record import Stage, UpdateRow
from rl.trainer_callback import UpdateCallback
from tests.kit.tiny_policy import tiny_policy

ENV = Directional({"train": [2, 3], "ood_easy": [4], "ood_hard": [5]})


def settings(**changes: Any) -> KeyStepsConfig:
    given = {"updates": 4, "num_problems": 12, "environment_frac": 1.0, "batch_size": 4, "learning_rate": 1e-3}
    return KeyStepsConfig(**{**given, **changes})


def pairs_for(policy: Policy, config: KeyStepsConfig) -> list[Dual]:
    return make_duals(ENV, policy.encoder, config, range(config.num_problems), [], seed=0).pairs


def train(
    folder: Path,
    config: KeyStepsConfig,
    *,
    resume: int = 0,
    pass_tokens: int | None = None,
    shapes: list[tuple[int, int]] | None = None,
    **of_policy: Any,
) -> tuple[Policy, list[UpdateRow]]:
    """A policy trained, and what was logged; `shapes` gets rows and width of every pass."""
    policy = tiny_policy(ENV, **of_policy)
    if shapes is not None:
        policy.model.register_forward_pre_hook(
            lambda module, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
        )
    log = metrics_log(folder)
    work = Work(label="key steps", kind=Kind.KEY_STEPS_UPDATE, units=config.updates)
    task = Task(work, 0, clock=time.monotonic, show=lambda task: None)
    train_key_steps(
        policy,
        pairs_for(policy, config),
        config,
        folder=folder / "checkpoints" / "key_steps",
        seed=0,
        passes=Passes(cpu=True),
        report_to=[],
        callbacks=[UpdateCallback(Stage.KEY_STEPS, log, task)],
        pass_tokens=pass_tokens,
        resume_from=folder / "checkpoints" / "key_steps" / f"checkpoint-{resume}" if resume else None,
    )
    return policy, log.read()


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: value for name, value in policy.model.named_parameters() if value.requires_grad}


def test_a_pass_has_the_right_traces_first() -> None:
    policy = tiny_policy(ENV)
    pairs = pairs_for(policy, settings())[:3]
    rows = encode_pairs(pairs, policy.encoder, "edit_distance", context=policy.context)
    batch = collate(rows, pad_id=policy.encoder.pad_id)
    lengths = batch["attention_mask"].sum(1).tolist()
    prompts = [len(policy.encoder.encode_prompt(pair.problem)) for pair in pairs] * 2
    responses = [pair.right for pair in pairs] + [pair.wrong for pair in pairs]
    assert batch["num_tokens"].tolist() == [len(one.ids) for one in responses]
    assert lengths == [prompt + len(one.ids) for prompt, one in zip(prompts, responses, strict=True)]
    for row, prompt in enumerate(prompts):
        assert not batch["keys"][row, :prompt].any() and batch["keys"][row].any()
        assert tuple(batch["input_ids"][row, prompt : lengths[row]].tolist()) == responses[row].ids


def test_true_keys_are_the_tokens_of_one_line() -> None:
    policy = tiny_policy(ENV)
    pairs = pairs_for(policy, settings())
    for pair, row in zip(pairs, encode_pairs(pairs, policy.encoder, "true", context=None), strict=True):
        assert pair.key_lines is not None
        for response, encoded, place in zip(
            (pair.right, pair.wrong), (row.right, row.wrong), pair.key_lines, strict=True
        ):
            chosen = policy.encoder.show(encoded.ids[encoded.keys].tolist())
            assert chosen.rstrip("\n") == response.trace.steps[place].text


def test_pairs_are_repeated_in_a_new_order() -> None:
    policy = tiny_policy(ENV)
    rows = encode_pairs(pairs_for(policy, settings()), policy.encoder, "true", context=None)
    order = [id(row) for row in in_order(rows, 30, seed=0)]
    assert len(order) == 30 and set(order[:12]) == set(order[12:24]) == {id(row) for row in rows}
    assert order[:12] != order[12:24] and order[:20] == [id(row) for row in in_order(rows, 20, seed=0)]


def test_pairs_over_the_context_are_refused() -> None:
    policy = tiny_policy(ENV)
    with pytest.raises(
        ConfigError, match=r"a dual trace of the key steps has .* over the model's context of 20 tokens"
    ):
        encode_pairs(pairs_for(policy, settings()), policy.encoder, "true", context=20)


@pytest.mark.parametrize("key", ["edit_distance", "true"])
def test_it_learns_what_the_pairs_differ_in(key: Any, tmp_path: Path) -> None:
    config = settings(updates=40, learning_rate=5e-3, key=key)
    _, rows = train(tmp_path, config)
    first, last = rows[0].metrics, rows[-1].metrics
    assert [row.update for row in rows] == [*range(1, 41)] and {row.stage for row in rows} == {Stage.KEY_STEPS}
    assert last["key/right_nll"] < 0.5 * first["key/right_nll"] and last["loss"] < first["loss"]
    assert last["key/wrong_nll"] > last["key/right_nll"]
    # The figures are those of edit distance, whatever is trained on.
    assert 0 < first["key_lines/right/line_precision"] <= first["key_lines/right/line_recall"] <= 1
    assert first["key/dropped_frac"] == 0.0


def test_the_cuts_change_nothing_but_the_padding(tmp_path: Path) -> None:
    given: dict[str, Any] = {"updates": 2, "optim": "sgd", "learning_rate": 0.5, "batch_size": 6}
    shapes: list[tuple[int, int]] = []
    whole, rows = train(tmp_path / "whole", settings(**given), shapes=shapes)
    assert sum(num for num, _ in shapes) == 2 * 2 * 6
    splits: dict[str, dict[str, int]] = {"tokens": {"pass_tokens": 100}, "rows": {"micro_batch_size": 2}}
    for name, limits in splits.items():
        pass_tokens, micro = limits.get("pass_tokens"), limits.get("micro_batch_size")
        passes: list[tuple[int, int]] = []
        config = settings(**given, micro_batch_size=micro)
        split, logged = train(tmp_path / name, config, shapes=passes, pass_tokens=pass_tokens)
        assert len(passes) > len(shapes) and len({width for _, width in passes}) > 1
        assert all(num <= 2 * (micro or 6) for num, _ in passes)
        assert all(num == 1 or num * width <= (pass_tokens or 10**6) for num, width in passes)
        for weight, value in weights(whole).items():
            torch.testing.assert_close(weights(split)[weight], value, atol=1e-5, rtol=1e-4)
        for one, two in zip(rows, logged, strict=True):
            figures = [key for key in one.metrics if key.startswith(("loss", "grad_norm", "key"))]
            assert len(figures) > 5
            assert {key: two.metrics[key] for key in figures} == pytest.approx(
                {key: one.metrics[key] for key in figures}, rel=1e-4
            )


def test_the_loss_is_the_mean_of_all_pairs_of_an_update(tmp_path: Path) -> None:
    config = settings()
    _, logged = train(tmp_path, config, pass_tokens=50)
    policy, total = tiny_policy(ENV), 0.0
    rows = encode_pairs(pairs_for(policy, config), policy.encoder, config.key, context=None)
    for pair in in_order(rows, config.batch_size, seed=0):
        for row, factor in ((pair.right, config.alpha), (pair.wrong, -config.beta)):
            with torch.no_grad():
                logprobs = policy.model(torch.from_numpy(row.ids)[None]).logits[0].log_softmax(-1)
            nll = -sum(float(logprobs[place - 1, row.ids[place]]) for place in row.keys.nonzero()[0])
            total += factor * nll / row.num_tokens
    assert logged[0].metrics["loss"] == pytest.approx(total / config.batch_size, rel=1e-4)


def test_a_given_number_of_pairs_is_kept_whatever_the_tokens(tmp_path: Path) -> None:
    shapes: list[tuple[int, int]] = []
    train(tmp_path, settings(updates=1, micro_batch_size=4), shapes=shapes, pass_tokens=1)
    assert max(num for num, _ in shapes) > 1


@pytest.mark.parametrize("lora", [None, LoraSettings(r=2)])
def test_it_goes_on_from_a_checkpoint_bit_for_bit(lora: LoraSettings | None, tmp_path: Path) -> None:
    config = settings(save_every=2)
    straight, _ = train(tmp_path, config, lora=lora)
    shutil.rmtree(tmp_path / "checkpoints" / "key_steps" / "checkpoint-4")
    resumed, logged = train(tmp_path, config, resume=2, lora=lora)
    assert [row.update for row in logged] == [1, 2, 3, 4, 3, 4]
    timed = ("time", "runtime", "per_second")
    plain = [{k: v for k, v in row.metrics.items() if not k.endswith(timed)} for row in logged]
    assert plain[2:4] == plain[4:]
    for name, value in weights(straight).items():
        assert torch.equal(weights(resumed)[name], value), name
