"""Devices on machines with GPUs that are not there: what is refused, said and left to actors."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from configs import Config, ConfigError
from configs.schema.config import GrpoConfig, RolloutConfig
from rl.build import check_backends
from rl.devices import describe_devices, find_device, shares_gpu
from rl.grpo.arguments import grpo_arguments
from rl.precision import Passes
from rollout.pools import cluster
from rollout.pools.room import ActorSize, leaves_first_gpu


def config(device: str = "auto", **rollout: Any) -> Config:
    return Config.model_validate(
        {
            "env": {"name": "addition"},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "device": device,
            "report_to": [],
            "rollout": rollout,
        }
    )


@pytest.fixture(params=[1, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """As many GPUs as torch reports."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    count: int = request.param
    return count


def test_actors_on_the_cpu_beside_gpus_are_said_and_refused_with_device_cuda(gpus: int) -> None:
    said = describe_devices(config(backend="ray"))[-1]
    assert said.startswith(f"warning: the actors sample on the CPU, and torch sees {gpus} GPU")
    with pytest.raises(
        ConfigError, match=r"^device is 'cuda', but rollout\.gpus_per_actor is 0, so the actors"
    ):
        check_backends(config("cuda", backend="ray"))
    for meant in ({"actor_device": "cpu"}, {"gpus_per_actor": 0.5}):
        check_backends(config("cuda", backend="ray", **meant))
        assert not any("warning" in line for line in describe_devices(config("cuda", backend="ray", **meant)))


def test_an_engine_shares_the_learners_gpu_unless_it_has_one_for_itself(
    gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shares_gpu(config())  # in the learner's process
    assert not shares_gpu(config("cpu"))
    assert not shares_gpu(config("cpu", backend="ray", gpus_per_actor=1))
    assert not shares_gpu(config(backend="ray"))
    assert shares_gpu(config(backend="ray", num_actors=1, gpus_per_actor=1)) == (gpus == 1)
    assert shares_gpu(config(backend="ray", num_actors=2, gpus_per_actor=1))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert not shares_gpu(config(backend="ray", num_actors=2, gpus_per_actor=1))
    assert shares_gpu(config(backend="ray", num_actors=2, gpus_per_actor=0.5))


def test_on_purpose_and_with_gpus_contradict_each_other() -> None:
    with pytest.raises(ValueError, match=r"actor_device is cpu, but rollout\.gpus_per_actor is 1; set it to 0"):
        config(backend="ray", actor_device="cpu", gpus_per_actor=1)


@pytest.mark.parametrize(
    ("rollout", "others"),
    [
        ({}, "the others stay idle; actors sample on them with rollout.backend=ray and"),
        ({"backend": "ray", "gpus_per_actor": 1, "num_actors": 1}, "the actors use the others"),
        ({"backend": "ray", "gpus_per_actor": 0.5}, "the actors use the others"),
        ({"backend": "ray", "gpus_per_actor": 1}, "the actors use all, this one too"),
    ],
)
def test_the_learner_says_which_of_several_gpus_it_takes(
    gpus: int, rollout: dict[str, Any], others: str
) -> None:
    said = describe_devices(config(**rollout))
    if gpus == 1:
        assert said == []
    else:
        assert said[0].startswith(f"learner: GPU 0 (Card 0) of 2; {others}")
    assert describe_devices(config("cpu", **rollout)) == []
    assert find_device(config(**rollout)) == "cuda"


def test_nothing_is_said_without_gpus() -> None:
    assert describe_devices(config(backend="ray")) == []


@pytest.mark.parametrize(
    ("count", "actors", "gpus", "left"),
    [
        (1, 1, 1, False),
        (2, 1, 1, True),
        (2, 2, 0.5, True),
        (2, 2, 0.6, False),  # one of 0.6 on each GPU
        (2, 2, 1, False),
        (8, 7, 1, True),
        (8, 2, 4, False),  # 7 GPUs hold one actor of 4
        (4, 3, 0, False),
    ],
)
def test_actors_leave_the_learners_gpu_if_they_fit_on_the_others(
    count: int, actors: int, gpus: float, left: bool
) -> None:
    assert leaves_first_gpu(count, actors, ActorSize(cpus=1, gpus=gpus)) is left


@pytest.mark.parametrize(
    ("visible", "actors", "on_gpu", "handed_out"),
    [
        (None, 2, True, "1,2"),
        ("5,6,7", 2, True, "6,7"),
        ("5,6,7", 3, True, "5,6,7"),
        ("5,6,7", 2, False, "5,6,7"),
    ],
)
def test_ray_starts_with_the_gpus_that_are_left(
    visible: str | None, actors: int, on_gpu: bool, handed_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", lambda **_: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES")))
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster, "_nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 3.0}}])
    cluster.connect(num_actors=actors, size=ActorSize(cpus=1, gpus=1), learner_on_gpu=on_gpu).close()
    assert seen == [handed_out]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_the_trainer_does_not_spread_over_all_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """TRL refuses to start where the Trainer counts more than one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for cpu, count in ((False, 1), (True, 0)):
        arguments = grpo_arguments(
            GrpoConfig(), RolloutConfig(), folder=tmp_path, seed=0, passes=Passes(cpu=cpu), report_to=[]
        )
        assert arguments.n_gpu == count
        assert arguments.train_batch_size == 16 * 8  # P * G, not multiplied
