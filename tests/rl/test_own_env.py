"""The page "Your own task" as a user follows it: check, train, go on from the run's folder, mistakes."""

from __future__ import annotations

import io
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from configs import Config, ConfigError, load_config
from envs import GraderError, Split, make_env
from envs.own import OwnEnvError
from rewards import RewardSum, Term
from rl.parts import build_parts
from rl.runs.errors import RunFolderError
from rl.runs.log import metrics_log
from rl.runs.read import read_run
from rl.runs.record import Stage
from rl.train import train
from rollout.pools.cluster import connect
from rollout.pools.local import LocalPool
from rollout.pools.ray_pool import RayPool, RolloutError
from rollout.pools.room import ActorSize
from rollout.types import GroupRequest
from rollout.worker import WorkerSpec
from scripts.cli import main
from tests.kit.own_env import block_of, write_own_env
from tests.kit.tiny_policy import tiny_policy, worker_spec

SMALL = {
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "policy.tiny": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64},
    "env.settings": {"train": ["3"], "ood_easy": ["4"], "ood_hard": ["5"]},
    "warm_start": {"updates": 40, "num_problems": 200, "batch_size": 16, "learning_rate": 3e-3},
    "rollout": {"samples_per_problem": 4, "max_prompt_tokens": 32, "max_new_tokens": 48, "threads": 1},
    "grpo": {"updates": 2, "problems_per_update": 2, "dynamic_sampling": False},
    "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page, somewhere else than the current one."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_env", raising=False)
    files, here = tmp_path / "files", tmp_path / "here"
    files.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    write_own_env(files)
    (files / "my_run.yaml").write_text(block_of("yaml"))
    return files


def config_of(file: Path, **changes: Any) -> Config:
    return load_config(file, (), {**SMALL, **changes})


def test_it_is_checked_by_file_and_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{folder}/my_env.py:SortBySwaps", "-n", "5", "seed=3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[:2] == [f"{folder}/my_env.py:SortBySwaps", "20"]
    assert out[2] == "  not defined, so not checked: detour_trace, padded_trace, search_trace"
    assert main(["check", "my_env:SortBySwaps", "-n", "2", "train=[4]"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["my_env.py:Sort"], "'my_env.py:Sort': there is no file my_env.py"),
        (["{}/my_env.py:Sort"], "my_env has no environment 'Sort'; did you mean 'SortBySwaps'?"),
        (
            ["{}/my_env.py:SortBySwaps", "sed=1"],
            "settings of 'my_env:SortBySwaps': unknown key 'sed'; did you mean",
        ),
        (["{}/my_env.py:SortBySwaps", "max_merge=0"], "settings of 'my_env:SortBySwaps': max_merge is 0: "),
        (["{}/my_env.py:SortBySwaps", "addition", "seed=1"], "seed=1 is a setting; give one NAME with it"),
        (["seed=1"], "seed=1 is a setting; give one NAME with it"),
    ],
)
def test_mistakes_of_a_check(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *[word.format(folder) for word in words]])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_check_says_what_a_method_raised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "my_env.py"
    text = file.read_text().replace("return state == sorted(state)", "return state == soted(state)")
    file.write_text(text)
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "soted" in one)
    assert main(["check", f"{file}:SortBySwaps", "-n", "2"]) == 1
    out = capsys.readouterr().out
    assert (
        f"FAILED: SortBySwaps train 0: check raised NameError: name 'soted' is not defined ({file}, line" in out
    )
    assert f"line {line})" in out


@pytest.mark.slow
def test_train_resume_and_evaluate(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    config = config_of(folder / "my_run.yaml", output_dir=str(run))
    assert config.modules_dir == str(folder)
    train(config, out=io.StringIO())
    losses = [row.metrics["loss"] for row in metrics_log(run).read() if row.stage is Stage.WARM]
    assert losses[-1] < 0.7 * losses[0]
    assert read_run(run).summary.done(Stage.GRPO, 2)
    # The run's own config finds the file; so does a moved one, and one that is gone is one line.
    again = ["--output", str(tmp_path / "again")]
    assert main(["evaluate", str(run / "models" / "grpo"), str(run / "config.yaml"), *again]) == 0
    moved = tmp_path / "moved"
    folder.rename(moved)
    del sys.modules["my_env"]
    with pytest.raises(
        ConfigError, match=rf"^env.name: cannot import my_env: .* \(it is not in {folder} or "
    ) as gone:
        build_parts(load_config(run / "config.yaml"))
    assert "\n" not in str(gone.value)
    longer = config_of(moved / "my_run.yaml", **{"output_dir": str(run), "grpo.updates": 3})
    with (moved / "my_env.py").open("a") as file:
        file.write("\n# mended\n")
    out = io.StringIO()
    train(longer, resume=True, out=out)
    assert out.getvalue().count("warning: my_env.py has changed since the run began") == 1
    assert read_run(run).summary.done(Stage.GRPO, 3)
    assert main(["report", str(run)]) == 0
    text = (moved / "my_env.py").read_text()
    (moved / "my_env.py").write_text(text.replace("range(1, 10)", "range(1, 9)"))
    del sys.modules["my_env"]
    with pytest.raises(RunFolderError, match=r"the train problems.* are not those the run in .* began with"):
        train(longer.model_copy(update={"name": "sort"}), resume=True, out=io.StringIO())


def test_modules_dir_is_beside_the_config_and_only_where_something_needs_it(folder: Path) -> None:
    shutil.copytree(folder, folder / "tasks")
    assert config_of(folder / "my_run.yaml", modules_dir="tasks").modules_dir == str(folder / "tasks")
    assert load_config("quickstart").modules_dir is None
    parts = {"settings": {"parts": [{"name": "my_env:SortBySwaps"}]}}
    named = config_of(folder / "my_run.yaml", **{"env.name": "mixture", "env.settings": parts["settings"]})
    assert named.modules_dir == str(folder)


def test_a_reward_beside_the_config_is_found_too(folder: Path) -> None:
    (folder / "my_rewards.py").write_text("def half(problem, trace):\n    return 0.5\n")
    terms = [{"name": "correct", "weight": 1.0}, {"name": "my_rewards:half", "weight": 0.1}]
    parts = build_parts(config_of(folder / "my_run.yaml", **{"rewards.terms": terms}))
    parts.rewards.close()
    assert "my_rewards" in sys.modules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"env.name": "my_env:Sort"},
            r"^env.name: my_env has no environment 'Sort'; did you mean 'SortBySwaps'\?",
        ),
        (
            {"env.settings": {"trian": ["3"]}},
            r"^env.settings of 'my_env:SortBySwaps': unknown key 'trian'; did",
        ),
        (
            {"warm_start.detour_frac": 0.2},
            r"^warm_start.detour_frac is 0.2, but 'SortBySwaps' writes no detours",
        ),
        (
            {"env.settings": {"train": ["12"]}},
            r"^environment 'my_env:SortBySwaps' raised ValueError|^env.settings: ",
        ),
    ],
)
def test_mistakes_of_a_config(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_parts(config_of(folder / "my_run.yaml", **changes))
    assert "\n" not in str(caught.value)


def test_without_solutions_there_is_no_warm_start(folder: Path) -> None:
    file = folder / "my_env.py"
    head, rest = file.read_text().split("    def full_trace", 1)
    file.write_text(head + rest[rest.index("\n\ndef read") :].replace("skip_kinds", "_"))
    file.write_text(file.read_text().replace('    skip_kinds = ("two_swaps",)\n', ""))
    with pytest.raises(
        ConfigError, match=r"^SortBySwaps has no worked solutions to learn from; set warm_start to null$"
    ):
        build_parts(config_of(folder / "my_run.yaml"))
    assert not build_parts(config_of(folder / "my_run.yaml", warm_start=None)).env.has_solutions


REQUESTS = [
    GroupRequest(group_id=n, split=Split.TRAIN, index=n, budget=None, num_samples=3, seed=0) for n in range(2)
]
TERMS = [Term(name="correct", weight=1.0)]


def test_what_it_raises_on_a_completion_is_no_score(folder: Path) -> None:
    env = make_env("my_env:SortBySwaps", SMALL["env.settings"], str(folder))
    with PoolOf(env) as pool:
        (batch,) = pool.rollout([REQUESTS])
    assert [(len(group.samples), group.ungraded) for group in batch.groups] == [(3, 0)] * 2
    env.finished = lambda state: {}["no"]  # type: ignore[method-assign]
    with PoolOf(env) as pool:
        (batch,) = pool.rollout([REQUESTS])
    assert [(len(group.samples), group.ungraded) for group in batch.groups] == [(0, 3)] * 2
    start = "environment 'my_env:SortBySwaps' raised KeyError: 'no' ("
    assert (
        batch.groups[0].failure.startswith(start)
        and ", on SortBySwaps/train/0, text " in batch.groups[0].failure
    )


def test_a_data_file_that_is_gone_is_one_line(folder: Path) -> None:
    env = make_env("my_env:SortBySwaps", SMALL["env.settings"], str(folder))
    gone = folder / "rows.txt"
    with PoolOf(env) as pool:
        env.problem = lambda split, index, *, budget=None: gone.read_text()  # type: ignore[method-assign]
        with pytest.raises(OwnEnvError) as failed:
            pool.rollout([REQUESTS])
    says = "environment 'my_env:SortBySwaps' raised FileNotFoundError: [Errno 2] No such file or directory: "
    assert str(failed.value).startswith(f"{says}'{gone}'")
    assert str(failed.value).endswith(", on SortBySwaps/train/0")
    assert failed.value.exit_code == 1


class PoolOf:
    """A local pool for an environment, closed at the end."""

    def __init__(self, env: Any) -> None:
        self.pool = LocalPool(worker_spec(tiny_policy(env), env, RewardSum(TERMS), max_new_tokens=8).build())

    def __enter__(self) -> LocalPool:
        return self.pool

    def __exit__(self, *exit: object) -> None:
        self.pool.close()


@pytest.mark.slow
def test_an_actor_finds_it_or_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env("my_env:SortBySwaps", SMALL["env.settings"], str(folder))
    spec = worker_spec(tiny_policy(env), env, RewardSum(TERMS), max_new_tokens=8)
    with PoolOf(env) as pool:
        (here,) = pool.rollout([REQUESTS])
    with closing(connect(num_actors=1, size=ActorSize(cpus=1, gpus=0))):  # for both pools
        with closing(one_actor(spec)) as pool:
            (there,) = pool.rollout([REQUESTS])
        assert [group.samples for group in there.groups] == [group.samples for group in here.groups]
        (folder / "my_env.py").rename(folder / "gone.py")
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        with (
            closing(one_actor(spec)) as pool,
            pytest.raises((RolloutError, GraderError, ConfigError), match="cannot import my_env") as missing,
        ):
            pool.rollout([REQUESTS])
        assert "\n" not in str(missing.value)


def one_actor(spec: WorkerSpec) -> RayPool:
    pool = RayPool(spec, num_actors=1, cpus_per_actor=1, gpus_per_actor=0, deadline_s=60, max_restarts=0)
    pool.publish({}, 0)
    return pool
