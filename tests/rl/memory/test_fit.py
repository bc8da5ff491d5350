"""What fits on which device: models of the sizes of Qwen2.5, without weights and without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from configs import Config, ConfigError, check_config
from configs.schema.config import LoraSettings
from rl.build import cache_need
from rl.memory import devices as places
from rl.memory import fit as fitting
from rl.memory.devices import Devices, find_devices
from rl.memory.engine import largest_calls
from rl.memory.fit import Fit, check_fit, fit_memory, rows_that_fit
from rl.memory.passes import PassMemory, PassSimulation
from rl.models.adapter import add_adapter
from rl.pass_cuts import CPU_TOKENS, GPU_TOKENS
from tests.kit.update_memory import Case

GIB, MIB = 2**30, 2**20
SIZES: dict[str, dict[str, Any]] = {
    "0.5B": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
    "1.5B": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "intermediate_size": 8960,
    },
    "7B": {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "intermediate_size": 18944},
}


@cache
def qwen(size: str, *, lora: bool = False) -> Any:
    tied = size != "7B"
    config = Qwen2Config(
        **SIZES[size],
        num_key_value_heads=2 if tied else 4,
        vocab_size=151_936 if tied else 152_064,
        tie_word_embeddings=tied,
    )
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config)
        return add_adapter(model.to(torch.bfloat16), LoraSettings(), 0) if lora else model


def config(*, lora: bool = False, **sections: Any) -> Config:
    """8 groups of 8 completions of up to 8,192 tokens, unless given otherwise."""
    rollout = {"max_new_tokens": 8192, "max_prompt_tokens": 512, **sections.pop("rollout", {})}
    return check_config(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "policy": {"model": "someone/large", "lora": {} if lora else None},
            "warm_start": None,
            "rollout": rollout,
            **sections,
        }
    )


@pytest.fixture(autouse=True, scope="module")
def each_pass_once() -> Iterator[None]:
    """Passes of the large models take a second each, so the tests share them."""
    measured: dict[Any, PassMemory] = {}

    class Remembered(PassSimulation):
        def __init__(self, model: Any, **how: Any) -> None:
            super().__init__(model, **how)
            self._key = (id(model), *how.values())

        def measure(self, rows: int, width: int, *, padded: bool = False) -> PassMemory:
            key = (*self._key, rows, width, padded)
            if key not in measured:
                measured[key] = super().measure(rows, width, padded=padded)
            return measured[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "PassSimulation", Remembered)
        yield


def fit(run: Config, model: Any, devices: Devices, *, on_cpu: bool = False, **engine: Any) -> Fit:
    found = fit_memory(
        run,
        model,
        devices,
        mixed_precision=not on_cpu,
        checkpointing=not on_cpu,
        engine_dtype=torch.float32 if on_cpu else torch.bfloat16,
        cache_need=partial(cache_need, run, model, on_gpu=devices.on_gpu),
        **engine,
    )
    check_fit(run, found)
    return found


def gpu(size: float, **changed: Any) -> Devices:
    return Devices(**{"size": int(size * GIB), "on_gpu": True, "engines_here": 1, **changed})


def test_all_of_1_5_billion_weights_fit_into_80_gib() -> None:
    """1.54 B parameters: 5.75 GiB of float32 weights and gradients, twice that for AdamW, 2.9 in bfloat16."""
    run, model = config(), qwen("1.5B")
    found = fit(run, model, gpu(80))
    learner = found.learner["GRPO"]
    assert learner.weights / GIB == pytest.approx(5.75, abs=0.01)
    assert learner.optimizer == 2 * learner.gradients == pytest.approx(2 * learner.weights, rel=1e-3)
    assert found.engine.weights / GIB == pytest.approx(2.88, abs=0.01)
    assert found.pass_tokens == GPU_TOKENS and learner.activations < 8 * GIB
    assert found.engine.cache >= cache_need(run, model, largest_calls(run)[:1], on_gpu=True)
    assert found.peak < 76 * GIB


@pytest.mark.slow
def test_7_billion_weights_with_an_adapter_fit_into_80_gib() -> None:
    """7.6 B parameters in bfloat16 are 14.2 GiB, once for the learner and once for the engine."""
    found = fit(config(lora=True), qwen("7B", lora=True), gpu(80))
    learner = found.learner["GRPO"]
    assert learner.weights / GIB == pytest.approx(14.2 + 0.15, abs=0.05)
    assert found.engine.weights / GIB == pytest.approx(14.2, abs=0.05)
    assert found.peak < 76 * GIB


def test_what_cannot_fit_is_refused_with_the_keys_that_help() -> None:
    with pytest.raises(ConfigError) as refused:
        fit(config(), qwen("1.5B"), gpu(24))
    message = str(refused.value)
    assert message.startswith("the GPU has 24.0 GiB of memory, but the learner takes 2")
    assert "optimizer 11.5 GiB" in message and "in all; what helps: grpo.optim=adamw_8bit" in message
    assert "policy.lora.r=16" in message and "policy.gradient_checkpointing" not in message
    with pytest.raises(ConfigError, match=r"policy\.load_in_4bit=true"):
        fit(config(lora=True), qwen("7B", lora=True), gpu(24))


@pytest.mark.slow
def test_passes_shrink_to_what_is_left() -> None:
    """Rows of 1,024 tokens: 16 in a pass where there is room, fewer in less, and what is stated fits."""
    run, model = config(rollout={"max_new_tokens": 512}), qwen("0.5B")
    roomy = fit(run, model, gpu(80))
    assert roomy.pass_tokens == GPU_TOKENS == roomy.learner["GRPO"].tokens
    less = roomy.peak - roomy.engine.cache - roomy.learner["GRPO"].activations // 4
    tight = fit(run, model, gpu(less / GIB))
    assert 1024 <= tight.pass_tokens < GPU_TOKENS and tight.pass_tokens % 1024 == 0
    assert tight.peak < less
    assert run.grpo is not None
    fixed = run.model_copy(update={"grpo": run.grpo.model_copy(update={"micro_batch_tokens": 1024})})
    given = fit(fixed, model, gpu(80))
    assert given.pass_tokens == given.learner["GRPO"].tokens == 1024


def test_a_pass_between_two_sizes_is_not_understated() -> None:
    """Rows in between are read off the line between the smallest and the largest pass, which is above."""
    case = Case(hidden=64, layers=3, heads=4, kv_heads=2, mlp=128, vocabulary=20_000)
    simulation = PassSimulation(case.model(), mixed_precision=True, checkpointing=True, on_gpu=True)
    one, some, most = (simulation.measure(rows, 128) for rows in (1, 9, 32))
    rows, stated = rows_that_fit(32, one, most, one.peak + (most.peak - one.peak) // 4)
    assert rows == 8
    assert simulation.measure(8, 128).peak <= stated.peak < some.peak * 1.5


def test_evaluation_takes_what_training_leaves() -> None:
    """The 64 prompts of an evaluation want more cache than the 8 of training; rows are as many, 64."""
    run, model = config(rollout={"max_new_tokens": 512}), qwen("0.5B")
    training = cache_need(run, model, largest_calls(run)[:1], on_gpu=True)
    roomy = fit(run, model, gpu(80))
    assert roomy.cache_bytes is None and roomy.engine.cache > 1.2 * training
    between = (training + roomy.engine.cache) // 2
    planned = roomy.peak - roomy.engine.cache + between
    tight = fit(run, model, gpu((planned / GIB + 0.5) / 0.94))
    assert tight.cache_bytes == tight.engine.cache == pytest.approx(between, rel=0.01)
    assert tight.pass_tokens == GPU_TOKENS
    given = fit(run, model, gpu(80), cache_given=GIB)
    assert given.cache_bytes == GIB


def test_a_sleeping_engine_leaves_its_memory_to_the_learner() -> None:
    """The engine's 3 GiB of weights and the learner's passes are not there at the same time."""
    run, model = config(), qwen("1.5B")
    with pytest.raises(ConfigError):
        fit(run, model, gpu(29.5))
    asleep = fit(run, model, gpu(29.5), engine_sleeps=True)
    learner, engine = asleep.learner["GRPO"], asleep.engine
    assert asleep.peak == max(learner.peak, learner.lasting + engine.lasting + engine.step) < 29.5 * GIB


def test_on_a_cpu_nothing_changes_while_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(hidden=64, layers=2, heads=4, kv_heads=4, mlp=128, vocabulary=100)
    run = config(rollout={"max_new_tokens": 64, "max_prompt_tokens": 64}, warm_start={"batch_size": 64})
    model = case.model()
    found = fit(run, model, Devices(size=8 * GIB, on_gpu=False, engines_here=1), on_cpu=True)
    assert (found.pass_tokens, found.warm_tokens, found.cache_bytes) == (CPU_TOKENS, None, None)
    assert found.learner["warm start"].tokens == 64 * 128
    small = found.peak - found.learner["warm start"].activations // 2
    less = fit(run, model, Devices(size=small, on_gpu=False, engines_here=1), on_cpu=True)
    assert less.warm_tokens is not None and 128 <= less.warm_tokens < 64 * 128
    with pytest.raises(ConfigError, match="this machine has 10 MiB of memory, but the learner takes "):
        fit(run, model, Devices(size=10 * MIB, on_gpu=False, engines_here=1), on_cpu=True)


def test_a_pass_has_no_more_rows_than_an_update() -> None:
    case = Case(hidden=64, layers=2, heads=4, kv_heads=4, mlp=128, vocabulary=100)
    for micro_batch_size, rows in ((2, 2), (64, 4)):
        run = config(
            rollout={"max_new_tokens": 64, "max_prompt_tokens": 64},
            warm_start={"batch_size": 4, "micro_batch_size": micro_batch_size},
        )
        found = fit(run, case.model(), Devices(size=8 * GIB, on_gpu=False, engines_here=1), on_cpu=True)
        assert found.learner["warm start"].tokens == rows * 128


def test_lines_say_everything() -> None:
    lines = fit(config(lora=True), qwen("7B", lora=True), gpu(80)).lines()
    assert [line.split(":")[0] for line in lines] == [
        "memory of the learner, GRPO",
        "memory of the engine",
        "memory in all",
    ]
    assert lines[-1].endswith(" of the 80.0 GiB of the GPU")


@pytest.mark.parametrize(
    ("rollout", "gpus", "expected"),
    [
        ({}, 1, (1, None, 0)),
        ({"backend": "ray", "gpus_per_actor": 1, "num_actors": 1}, 2, (0, 40, 1)),
        ({"backend": "ray", "gpus_per_actor": 0.25, "num_actors": 8}, 3, (0, 40, 4)),
        ({"backend": "ray", "gpus_per_actor": 0.5}, 1, (2, None, 0)),
        ({"backend": "ray"}, 1, (0, 16, 2)),
    ],
)
def test_who_shares_the_learners_gpu(
    rollout: Any, gpus: int, expected: tuple[int, int | None, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(places, "host_bytes", lambda: 16 * GIB)
    found = find_devices(config(rollout=rollout), gpus=gpus, gpu_bytes=40 * GIB, cpu=False)
    there = None if found.engine_size is None else found.engine_size // GIB
    assert (found.engines_here, there, found.engines_there) == expected
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    if "backend" in rollout:
        anywhere = find_devices(config(rollout=rollout), gpus=gpus, gpu_bytes=40 * GIB, cpu=False)
        assert (anywhere.engines_here, anywhere.engine_size) == (0, None)


def test_actors_share_the_memory_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(places, "host_bytes", lambda: 16 * GIB)
    run = config(rollout={"backend": "ray", "num_actors": 3})
    found = find_devices(run, gpus=0, gpu_bytes=None, cpu=True)
    assert (found.size, found.engines_here) == (16 * GIB, 3)
