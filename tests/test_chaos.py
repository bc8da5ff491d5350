"""A small share of `make test-chaos`, and that its checks can fail; see `tests/kit/chaos.py`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rl.runs.trajectories import trajectory_log
from tests.kit.chaos_kills import SCENARIOS, kill_often, write_config
from tests.kit.chaos_soak import SOAKS, growth, judge, long_run
from tests.kit.fork_server import ForkServer
from tests.kit.same_run import differences

pytestmark = pytest.mark.slow


def test_a_run_that_is_killed_ends_like_one_that_is_not(fork_server: ForkServer) -> None:
    found = kill_often(fork_server, SCENARIOS[0], 3, seed=7, fresh=False)
    assert found.failures == ()
    assert found.size == 3


def test_a_difference_between_runs_is_found(fork_server: ForkServer, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    config = write_config(SCENARIOS[2], tmp_path)
    driver = fork_server.train([str(config), f"output_dir={whole}", "grpo.updates=2"], log=tmp_path / "log")
    assert driver.wait(120) == 0, (tmp_path / "log").read_text()

    def damaged(act: Callable[[Path], object]) -> list[str]:
        run = tmp_path / "run"
        shutil.copytree(whole, run)
        act(run)
        found = differences(run, whole)
        shutil.rmtree(run)
        return found

    def change(name: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], object]:
        return lambda run: (run / name).write_bytes(edit((run / name).read_bytes()))

    weights, metrics = "models/grpo/model.safetensors", "metrics.jsonl"
    assert damaged(lambda run: None) == []
    assert damaged(change(weights, lambda old: old[:-1] + bytes([old[-1] ^ 1]))) == [
        f"weights differ: {weights}"
    ]
    assert damaged(change(metrics, lambda old: old + old.splitlines(keepends=True)[-1])) == [
        "grpo update 2 is logged 2 times",
        "figures of updates differ from number 2 on, 3 of 2",
    ]
    assert damaged(change(metrics, lambda old: old.replace(b'"cursor": ', b'"cursor": 1'))) == [
        "figures of updates differ from number 0 on, 2 of 2"
    ]
    first, second = (file.path.name for file in trajectory_log(whole).files())
    folder = trajectory_log(whole).path.name
    assert damaged(lambda run: (run / folder / second).unlink())[0].startswith("completions differ from number")
    twice = damaged(lambda run: shutil.copy(run / folder / first, run / folder / second))
    assert any("is stored 2 times" in text for text in twice)
    assert damaged(lambda run: (run / "checkpoints/grpo/checkpoint-2.damaged").mkdir()) == [
        "left behind: checkpoints/grpo/checkpoint-2.damaged"
    ]


def test_nothing_grows(fork_server: ForkServer) -> None:
    """So few updates show what grows fast; the interval of 2,000 is in docs/reliability.md."""
    found = long_run(fork_server, SOAKS[0], 80, mb_per_100_updates=20)
    assert found.failures == ()


def test_a_growth_is_found() -> None:
    updates = list(range(2000))
    # 0.02 MB an update and a saw-tooth: 2 MB per 100 updates.
    values = [100 + 0.02 * update + update % 7 for update in updates]
    found = growth(updates, values)
    assert found.slope == pytest.approx(2.0, abs=0.01) and found.high - found.low < 0.01
    flat = [(update, 100.0 + update % 7) for update in updates]
    grows = list(zip(updates, values, strict=True))
    assert judge({"driver MB": flat, "driver files": flat}, 2000, 1.0)[1] == []
    assert [text.split(" grows")[0] for text in judge({"driver MB": grows}, 2000, 1.0)[1]] == ["driver MB"]
    assert judge({"driver files": [(u, 30 + u // 500) for u in updates]}, 2000, 1.0)[1] == [
        "driver files 31 → 33"
    ]
    assert judge({"driver MB": flat[:20]}, 2000, 1.0)[1] == ["driver MB: only 0 looks"]
