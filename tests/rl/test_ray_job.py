"""A run as a job of a Ray cluster: where it may write, and whose GPU it uses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from configs import Config, ConfigError, load_config
from rl.devices import describe_devices
from rl.ray_job import check_job_output, describe_reservation
from rl.train import train

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
UNRESERVED = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"


def config(output_dir: str | None, **keys: object) -> Config:
    return load_config("quickstart", changes={"output_dir": output_dir, **keys})


@pytest.mark.parametrize("given", ["runs/x", None, "./x", "../x"])
def test_a_relative_output_folder_is_refused_in_a_job(
    given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(JOB, "{}")
    with pytest.raises(ConfigError, match=r"^output_dir is .*, which a job would write into its own folder"):
        train(config(given))
    assert not any(tmp_path.iterdir())


def test_an_output_folder_must_be_outside_rays(tmp_path: Path) -> None:
    check_job_output(config(str(tmp_path)))
    inside = "/tmp/ray/session_2026-11-29_10-00-00_000000_1/runtime_resources/working_dir_files/x/run"
    with pytest.raises(ConfigError, match="is in a folder of Ray's, which goes with the cluster"):
        check_job_output(config(inside))


def test_a_gpu_that_is_not_reserved_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_reservation({}) == describe_reservation({JOB: "{}"}) == []
    assert describe_reservation({UNRESERVED: "1"}) == []  # no job
    (line,) = describe_reservation({JOB: "{}", UNRESERVED: "1"})
    assert "--entrypoint-num-gpus 1" in line
    monkeypatch.setenv(JOB, "{}")
    monkeypatch.setenv(UNRESERVED, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert line in describe_devices(config(None, device="auto"))
    assert line not in describe_devices(config(None))
