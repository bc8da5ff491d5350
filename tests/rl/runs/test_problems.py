"""Problems, data files and modules of users are compared with those that a run began with."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import check_config, dump_config
from envs import Env, Split, make_env
from rl.runs.errors import RunFolderError
from rl.runs.problems import NAME, describe_problems, to_json
from rl.runs.resumable import Resumption, check_resumable

OWN_ENV = '''
from pathlib import Path
from pydantic import BaseModel
from envs import Env, Grade, Problem
from sums_helper import ask


class Sums(Env):
    """Endless: the rows of a file, over and over."""

    class Settings(BaseModel):
        rows: str
        extra: dict = {}

    checks_steps = False

    def __init__(self, settings=None):
        super().__init__(settings)
        self.rows = Path(self.settings.rows).read_text().split()

    def problem(self, split, index, *, budget=None):
        row = self.rows[index % len(self.rows)]
        question = ask(row)
        return Problem(env=self.name, split=split, index=index, question=question,
                       prompt=self.render_prompt(question, budget), answer=row, num_full_steps=1, difficulty=1)

    def start(self, problem):
        return 0

    def advance(self, state, line):
        return state

    def finished(self, state):
        return True

    def grade_answer(self, problem, answer):
        return Grade.CORRECT if answer == problem.answer else Grade.WRONG
'''


def begin(run: Path, env: Env[Any], **described: Any) -> None:
    """Leave what the start of a run leaves."""
    run.mkdir(exist_ok=True)
    (run / "config.yaml").write_text(dump_config(config(run)))
    (run / NAME).write_text(to_json(describe_problems(env, **described)))


def go_on(run: Path, env: Env[Any], *allow: str, **described: Any) -> Resumption:
    return check_resumable(run, config(run), problems=describe_problems(env, **described), allow=allow)


def config(run: Path) -> Any:
    return check_config(
        {
            "env": {"name": "addition", "settings": {"seed": 0}},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "output_dir": str(run),
        }
    )


def rows(path: Path, answers: list[str]) -> Any:
    lines = [json.dumps({"question": f"What is {n}?", "answer": a}) for n, a in enumerate(answers)]
    path.write_text("\n".join(lines) + "\n")
    return make_env("math", {"train": str(path), "id": None})


def test_changed_data_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    data, answers = tmp_path / "rows.jsonl", [str(n) for n in range(20)]
    begin(tmp_path / "run", rows(data, answers))
    assert go_on(tmp_path / "run", rows(data, answers)).lines() == []
    other = [str(n + 1) for n in range(20)]
    with pytest.raises(RunFolderError) as refused:
        go_on(tmp_path / "run", rows(data, other))
    assert str(refused.value) == (
        f"--resume: the train problems of {data}; the id problems are not those the run in "
        f"{tmp_path / 'run'} began "
        "with; restore them, allow the change by name (--allow-change env.settings.train), or start a new "
        "run in "
        "another output_dir"
    )
    with pytest.raises(RunFolderError, match=rf"the train problems of {data} \(\d+ then, \d+ now\)"):
        go_on(tmp_path / "run", rows(data, [*answers, "20", "21", "22", "23"]))
    for allow in ("env.settings.train", "env.settings", "env"):
        found = go_on(tmp_path / "run", rows(data, other), allow)
        assert f"changed: the train problems of {data}; allowed by --allow-change" in found.lines()


def test_a_key_that_names_other_problems_does_not_allow_these(tmp_path: Path) -> None:
    data, answers = tmp_path / "rows.jsonl", [str(n) for n in range(20)]
    begin(tmp_path / "run", rows(data, answers))
    with pytest.raises(RunFolderError, match=r"--allow-change grpo\.beta: it has not changed in this run"):
        go_on(tmp_path / "run", rows(data, answers), "grpo.beta")


def test_a_task_that_reads_rows_needs_no_hash_of_its_own(tmp_path: Path) -> None:
    data, answers = tmp_path / "rows.jsonl", [str(n) for n in range(200)]
    before = Env.fingerprint(rows(data, answers), Split.TRAIN)
    assert Env.fingerprint(rows(data, answers), Split.TRAIN) == before
    last = rows(data, answers).problem(Split.TRAIN, rows(data, answers).num_problems(Split.TRAIN) - 1)
    answers[int(last.answer)] = "-1"
    assert Env.fingerprint(rows(data, answers), Split.TRAIN) != before


def test_generated_problems_follow_from_settings(tmp_path: Path) -> None:
    begin(tmp_path, make_env("addition", {"seed": 1}))
    go_on(tmp_path, make_env("addition", {"seed": 1}))
    with pytest.raises(RunFolderError, match="the train problems; the id problems"):
        go_on(tmp_path, make_env("addition", {"seed": 2}))


def test_problems_of_the_curriculum_matter_while_it_lasts(tmp_path: Path) -> None:
    env = make_env("addition", {"seed": 0})
    begin(tmp_path, env, curriculum=[make_env("addition", {"train": ["1_1"]})])
    easier = [make_env("addition", {"train": ["1_2"]})]
    with pytest.raises(RunFolderError, match=r"the problems of warm_start.curriculum\[0\] are not those"):
        go_on(tmp_path, env, curriculum=easier)
    go_on(tmp_path, env, "warm_start.curriculum", curriculum=easier)
    done = {"format": 3, "stages": {}, "updates": {"warm": 1000}, "seconds": {}}
    (tmp_path / "summary.json").write_text(json.dumps(done))
    go_on(tmp_path, env, curriculum=easier)


def test_a_run_of_an_older_version_is_compared_as_far_as_it_says(tmp_path: Path) -> None:
    env = make_env("addition", {"seed": 1})
    begin(tmp_path, env)
    said = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**said["splits"], "notes": [], "files": {}}))
    go_on(tmp_path, env)
    with pytest.raises(RunFolderError, match="the train problems"):
        go_on(tmp_path, make_env("addition", {"seed": 2}))
    for text in (
        "",
        "{",
        "[]",
        "\0\0",
    ):  # a run that was killed as it began, or a damaged file: nothing to compare
        (tmp_path / NAME).write_text(text)
        go_on(tmp_path, make_env("addition", {"seed": 2}))
    (tmp_path / NAME).unlink()
    go_on(tmp_path, make_env("addition", {"seed": 2}))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an environment of a user's, what it imports, the data it reads, and a reward."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "sums_env.py").write_text(OWN_ENV)
    (files / "sums_helper.py").write_text('def ask(row):\n    return f"{row}?"\n')
    (files / "sums_reward.py").write_text("def half(problem, trace):\n    return 0.5\n")
    (files / "rows.txt").write_text(" ".join(map(str, range(20))))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(files)
    yield files
    for name in ("sums_env", "sums_helper", "sums_reward"):
        sys.modules.pop(name, None)


def own_env(folder: Path) -> Env[Any]:
    return make_env("sums_env:Sums", {"rows": "rows.txt", "extra": {"a": "no file", "b": "\0"}}, str(folder))


def test_modules_and_data_of_a_user(own: Path, tmp_path: Path) -> None:
    run, rewards = tmp_path / "run", ["correct", "sums_reward:half"]
    from rewards.registry import find_reward

    find_reward("sums_reward:half", timeout_s=1.0)  # as a run does, which imports it
    begin(run, own_env(own), rewards=rewards)
    said = json.loads((run / NAME).read_text())
    assert sorted(said["modules"]) == ["sums_env.py", "sums_helper.py", "sums_reward.py"]
    assert list(said["data"]) == ["rows.txt"]
    assert go_on(run, own_env(own), rewards=rewards).lines() == []
    # Code may be mended: the user is told.
    for name in ("sums_helper.py", "sums_reward.py"):
        (own / name).write_text((own / name).read_text() + "# mended\n")
    assert go_on(run, own_env(own), rewards=rewards).lines() == [
        f"warning: {name} has changed since the run began; what was judged before is as it was"
        for name in ("sums_helper.py", "sums_reward.py")
    ]
    # The tenth row: an endless task is known by its first eight problems alone.
    (own / "rows.txt").write_text((own / "rows.txt").read_text().replace("10", "77"))
    with pytest.raises(RunFolderError, match=r"^--resume: the contents of rows.txt are not those the run in "):
        go_on(run, own_env(own), rewards=rewards)
    go_on(run, own_env(own), "env.settings.rows", rewards=rewards)
