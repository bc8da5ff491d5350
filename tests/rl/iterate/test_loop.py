"""A whole loop of seconds: what it leaves, and that one which was interrupted ends like one that was not."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from configs import Config, ConfigError, check_config
from rl.iterate.files import asked_log, evaluation_log, rounds_log
from rl.iterate.metrics import asked, following, solved
from rl.iterate.record import ModelKind
from rl.iterate.run import iterate
from rl.iterate.table import rounds_table
from rl.runs.errors import RunFolderError
from rl.runs.log import metrics_log
from rl.runs.models import find_trained
from rl.runs.state import Condition, read_state
from rl.train import train

BASE: dict[str, Any] = {
    "name": "loop",
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {
        "name": "addition",
        "settings": {"train": ["1_1", "2_1"], "ood_easy": ["2_2"], "ood_hard": ["3_1"]},
    },
    "policy": {
        "tiny": {
            "hidden_size": 32,
            "num_layers": 1,
            "num_heads": 2,
            "intermediate_size": 32,
            "max_positions": 128,
        }
    },
    "warm_start": {"updates": 4, "num_problems": 8, "batch_size": 8, "learning_rate": 3.0e-3, "save_every": 2},
    "rollout": {"max_prompt_tokens": 64, "max_new_tokens": 44, "threads": 1, "samples_per_problem": 2},
    "rewards": {
        "terms": [
            {"name": "correct", "weight": 1.0},
            {"name": "format", "weight": 0.2},
            {"name": "token_count", "weight": -0.2},
        ]
    },
    "grpo": {
        "updates": 3,
        "problems_per_update": 2,
        "max_resamples": 0,
        "learning_rate": 1.0e-3,
        "save_every": 1,
    },
    "eval": {"num_problems": 3, "splits": ["id", "ood_hard"], "problems_per_batch": 3},
    "iterate": {"rounds": 1, "validation": {"ood_easy": ["3_2"]}},
}


def config(folder: Path, **iterate_keys: Any) -> Config:
    loop = {**BASE["iterate"], **iterate_keys}
    return check_config({**BASE, "output_dir": str(folder), "iterate": loop})


def run(loop: Config, *, resume: bool = False) -> str:
    out = io.StringIO()
    iterate(loop, resume=resume, out=out)
    return out.getvalue()


class Killed(BaseException):
    """In place of SIGKILL: nothing is saved."""


class Cut:
    """Raises where a file is about to be opened for writing, or a folder made, for the n-th time."""

    place = ""
    left = 0
    error: type[BaseException] = KeyboardInterrupt

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.left or event not in ("open", "os.mkdir"):
            return
        if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & {"w", "a"}):
            return
        if str(arguments[0]).endswith(self.place):
            self.left -= 1
            if not self.left:
                raise self.error


CUT = Cut()
sys.addaudithook(CUT.see)


@contextmanager
def cut(place: str, times: int, error: type[BaseException]) -> Iterator[None]:
    CUT.place, CUT.left, CUT.error = place, times, error
    with pytest.raises(error):
        yield
    assert not CUT.left
    CUT.left = 0


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of the weights and of all answers, and the updates without their times."""
    files = [*folder.glob("models/*/model.safetensors"), *folder.glob("rounds/*/*"), folder / "rounds.jsonl"]
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    for path in folder.glob("trainings/*"):
        rows = [(row.update, row.metrics["loss"], row.metrics["grad_norm"]) for row in metrics_log(path).read()]
        found[path.name] = repr(rows)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(config(folder))
    return folder


def test_what_a_loop_leaves(whole: Path) -> None:
    rounds = rounds_log(whole).read()
    assert [row.round for row in rounds] == [0, 1]
    assert sorted(path.name for path in (whole / "models").iterdir()) == [
        f"round-{number}-{kind}" for number in (0, 1) for kind in ("conditioned", "standard")
    ]
    assert rounds[0].asked is None and (rounds[0].num_full, rounds[1].num_full) == (8, 8)
    for row in rounds:
        found = {kind: evaluation_log(whole, row.round, kind).read() for kind in ModelKind}
        assert [(one.cell, one.fewer) for one in found[ModelKind.CONDITIONED]] == [
            ("id", fewer) for fewer in (0, 1, 2) for _ in range(3)
        ]
        cells = [one.cell for one in found[ModelKind.STANDARD]]
        assert cells == [cell for cell in ("id", "ood_hard", "validation") for _ in range(3)]
        assert row.following == {
            str(n): following(one for one in found[ModelKind.CONDITIONED] if one.fewer == n) for n in (0, 1, 2)
        }
        assert row.solved["validation"] == solved(
            one for one in found[ModelKind.STANDARD] if one.cell == "validation"
        )
    requests = asked_log(whole, 1).read()
    assert {row.round for row in requests} == {0} and rounds[1].asked == asked(requests)
    assert not list(whole.glob("trainings/*/checkpoints/*"))
    updates = metrics_log(whole / "trainings" / "round-1-standard").read()
    assert [row.update for row in updates] == [1, 2, 3, 4]
    assert "Standard model" in rounds_table(rounds)
    assert read_state(whole).condition is Condition.ENDED
    assert find_trained(whole).path.name == "round-1-standard"


@pytest.mark.slow
def test_an_interrupted_loop_ends_like_one_that_was_not(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with cut("round-0-conditioned/metrics.jsonl", 4, Killed):  # after the checkpoint of update 2
        run(config(folder, rounds=0))
    state = read_state(folder)
    assert state.condition is Condition.INTERRUPTED and "stride iterate" in state.command
    assert "round 0 of 0" in state.next
    with cut("rounds/0/standard.jsonl", 2, KeyboardInterrupt):  # in an evaluation
        run(config(folder, rounds=0), resume=True)
    with cut("rounds/1", 1, Killed):  # between two rounds, the second of which comes in now
        run(config(folder), resume=True)
    assert [row.round for row in rounds_log(folder).read()] == [0]
    with cut("rounds/1/asked.jsonl", 3, Killed):  # while asking
        run(config(folder), resume=True)
    with cut("round-1-standard/metrics.jsonl", 4, KeyboardInterrupt):
        run(config(folder), resume=True)
    assert "round-1-standard: continuing from update 2" in run(config(folder), resume=True)
    assert contents(folder) == contents(whole)


@pytest.mark.slow
def test_a_round_that_learns_what_the_one_before_has_learnt_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = {"init": "cold", "rounds": 2}
    folder, trained = tmp_path / "run", tmp_path / "trained"
    with cut("rounds/1/standard.jsonl", 1, Killed):
        run(config(folder, **cold))
    said = run(config(folder, **cold), resume=True)
    assert "round 2/2, training of the standard model: left out, since nothing was kept" in said
    assert {path.name for path in (folder / "trainings").iterdir()} == {
        "round-0-conditioned",
        "round-0-standard",
    }
    monkeypatch.setattr("rl.iterate.loop._Loop._has_learnt", lambda *_: False)
    run(config(trained, **cold))
    assert contents(folder).items() <= contents(trained).items()  # all but the losses of more trainings


def test_what_rounds_are_compared_on_cannot_change(whole: Path) -> None:
    other = check_config({**BASE, "output_dir": str(whole), "eval": {**BASE["eval"], "num_problems": 4}})
    with pytest.raises(RunFolderError, match=r"eval.num_problems was 3, is 4 \(all rounds are compared"):
        run(other, resume=True)


@pytest.mark.slow
def test_a_round_by_grpo_goes_on_too(tmp_path: Path) -> None:
    grpo = {"train": "grpo", "standard": False, "validation": None}
    run(config(tmp_path / "whole", **grpo))
    folder = tmp_path / "cut"
    with cut("round-1-conditioned/metrics.jsonl", 3, Killed):
        run(config(folder, **grpo))
    run(config(folder, **grpo), resume=True)
    assert contents(folder) == contents(tmp_path / "whole")
    rows = metrics_log(folder / "trainings" / "round-1-conditioned").read()
    assert [(row.stage.value, row.update) for row in rows] == [("grpo", 1), ("grpo", 2), ("grpo", 3)]
    assert len(list((folder / "trainings/round-1-conditioned/trajectories").iterdir())) == 3


def test_each_command_refuses_the_config_of_the_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run it with `stride iterate`"):
        train(config(tmp_path))
    with pytest.raises(ConfigError, match="run it with `stride train`"):
        iterate(config(tmp_path).model_copy(update={"iterate": None}))
    assert not list(tmp_path.iterdir())
