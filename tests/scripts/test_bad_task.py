"""Mistakes in a task, its data, its rewards and its demonstrations: one line, before anything is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.kit.bad_input import Cases, check, check_before_torch, working_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with data and modules that cannot be used."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("bad_tasks", "bad_import"):
        sys.modules.pop(name, None)  # of another test's folder
    path = working_folder(tmp_path, monkeypatch)
    for name, text in DATA.items():
        (path / name).write_text(text)
    (path / "latin.jsonl").write_bytes(DATA["few.jsonl"].replace("one", "caf\xe9").encode("latin-1"))
    (path / "bad_tasks.py").write_text(TASKS)
    (path / "bad_import.py").write_text("half = 1 / 0\n")
    return path


DATA = {
    "nothing.jsonl": "",
    "few.jsonl": '{"question": "one?", "answer": "1"}\n{"question": "two?", "answer": "2"}\n',
    "unanswered.jsonl": '{"question": "one?"}\n',
    "other.jsonl": '{"q": "one?", "a": "1"}\n',
    "prose.jsonl": "once upon a time\n",
    "list.jsonl": "[1, 2]\n[3]\n",
    "words.txt": "one? 1\n",
    "odd.csv": "question,answer\none,1,2\n",
}
TASKS = """
from envs import Env
from rewards import reward

number = 3


class Half(Env):
    def problem(self, split, index, *, budget=None):
        raise RuntimeError


class Raises(Half):
    def start(self, problem): ...
    def advance(self, state, line): ...
    def finished(self, state): ...
    def grade_answer(self, problem, answer): ...
    def problem(self, split, index, *, budget=None):
        return {}["gone"]


@reward(when_right=(1.0, 0.0))
def backwards(problem, trace):
    return 1.0


def no_trace(problem):
    return 1.0
"""


def math_of(file: str) -> list[str]:
    """Arguments of a run on a data file."""
    data = f"env={{name: math, settings: {{train: {file}, id: {file}}}}}"
    return ["good.yaml", "policy.model=./mine", "warm_start=null", data]


def own(name: str) -> list[str]:
    """Arguments of a run on a user's environment."""
    return ["good.yaml", "warm_start=null", f"env={{name: '{name}'}}"]


def own_reward(name: str) -> list[str]:
    """Arguments of a run with a user's reward."""
    return ["good.yaml", f"rewards.terms=[{{name: correct, weight: 1}}, {{name: '{name}', weight: 0.1}}]"]


CASES: Cases = {
    "unknown environment": (
        ["good.yaml", "env.name=adition"],
        ("env.name: unknown environment 'adition'; did you mean 'addition'?", "known: addition, algebra"),
    ),
    "unknown setting": (
        ["good.yaml", "env.settings.max_merges=2"],
        ("env.settings of 'directional'", "'max_merges'; did you mean 'max_merge'?"),
    ),
    "wrong setting": (
        ["good.yaml", "env.settings.max_merge=0"],
        ("env.settings", "max_merge is 0", "equal to 1"),
    ),
    "wrong bucket": (
        ["good.yaml", "env.settings.train=[0]"],
        ("env.settings", "a bucket is a number of actions", "'0'"),
    ),
    "shared buckets": (
        ["good.yaml", "env.settings.train=[11]"],
        ("env.settings", "train and ood_easy share the buckets ['11']"),
    ),
    "unknown reward": (
        ["good.yaml", "rewards.terms=[{name: corect, weight: 1}]"],
        ("rewards: unknown reward 'corect'; did you mean 'correct'?", "known: backtrack_count"),
    ),
    "unknown argument": (
        ["good.yaml", "rewards.terms=[{name: backtrack_count, weight: 1, args: {caps: 2}}]"],
        ("rewards: reward 'backtrack_count' takes no argument 'caps'; did you mean 'cap'?",),
    ),
    "argument out of range": (
        ["good.yaml", "rewards.terms=[{name: backtrack_count, weight: 1, args: {cap: 0}}]"],
        ("argument 'cap' of reward 'backtrack_count' is 0; give a whole number of at least 1",),
    ),
    "a reward twice": (
        ["good.yaml", "rewards.terms=[{name: correct, weight: 1}, {name: correct, weight: 2}]"],
        ("reward 'correct' is listed twice; give it one weight",),
    ),
    "wrong pays": (
        ["good.yaml", "rewards.terms=[{name: correct, weight: 1}, {name: backtrack_count, weight: -1}]"],
        ("a right answer can earn as little as 0", "as much as 0", "rewards.allow_wrong_above_right"),
    ),
    "unknown skip rule": (
        ["good.yaml", "warm_start.skip_kinds=[low_pair]"],
        ("warm_start.skip_kinds has ['low_pair']", "known: cancel_pair, any_pair"),
    ),
    "unknown setting of a curriculum": (
        ["good.yaml", "warm_start.curriculum=[{settings: {trian: [2-3]}, updates: 1}]"],
        (
            "warm_start.curriculum[0]: env.settings of 'directional'",
            "unknown key 'trian'; did you mean 'train'?",
        ),
    ),
    "several mistakes in the warm start": (
        [
            "good.yaml",
            "warm_start.skip_kinds=[low_pair]",
            "warm_start.skipped_frac=0",
            "warm_start.search_frac=1",
        ],
        (
            "warm_start.skip_kinds has ['low_pair']",
            "; warm_start.search_frac is 1, but ",
        ),
    ),
    "no worked solutions": (
        ["good.yaml", "env={name: reasoning_gym, settings: {task: chain_sum}}"],
        ("error: reasoning_gym has no worked solutions to learn from; set warm_start to null\n",),
    ),
    "no such data": (
        ["good.yaml", "env={name: math, settings: {train: nowhere.jsonl}}"],
        ("env.settings: nowhere.jsonl is neither a file nor a folder",),
    ),
    "limit below every demonstration": (
        [
            "good.yaml",
            "rollout.max_prompt_tokens=96",
            "rollout.max_new_tokens=8",
            "env.settings={train: ['1', '2']}",
        ],
        ("rollout.max_new_tokens is 8, and all of the 128 demonstrations tried are longer", "raise it"),
    ),
    "demonstration longer than the context": (
        ["good.yaml"],
        ("a demonstration of the warm start has ", "over the model's context of 104 tokens"),
    ),
    "positions drawn beyond the context": (
        ["good.yaml", "warm_start.position_range=200"],
        ("warm_start.position_range is 200, over the model's context of 104 tokens", "policy.tiny.max_pos"),
    ),
    "jumps without line positions": (
        ["good.yaml", "warm_start.position_jumps=20"],
        (
            "warm_start.position_jumps is 20, but policy.tiny.positions is rotary",
            "set policy.tiny.positions to",
        ),
    ),
    "drawn positions with line positions": (
        ["good.yaml", "policy.tiny.positions=lines", "warm_start.position_range=90"],
        (
            "warm_start.position_range is 90, which needs ordinary positions, but policy.tiny.positions is ",
            "use warm_start.position_jumps instead, or set warm_start.position_range to null",
        ),
    ),
    "an empty file": (math_of("nothing.jsonl"), ("nothing.jsonl",)),
    "fewer problems than are evaluated": (math_of("few.jsonl"), ("few.jsonl",)),
    "rows without an answer": (math_of("unanswered.jsonl"), ("unanswered.jsonl row 1",)),
    "other columns": (math_of("other.jsonl"), ("other.jsonl", "question")),
    "no JSON": (math_of("prose.jsonl"), ("prose.jsonl",)),
    "no objects": (math_of("list.jsonl"), ("list.jsonl",)),
    "another kind of file": (math_of("words.txt"), ("words.txt ends in '.txt'; give a file with .jsonl",)),
    "another encoding": (
        math_of("latin.jsonl"),
        ("latin.jsonl line 1 is not UTF-8 (byte 0xe9 at column", "iconv"),
    ),
    "too many cells": (math_of("odd.csv"), ("odd.csv", "3 cells under 2 columns")),
    "a folder that is no data set": (math_of("mine"), ("mine is not a folder saved by datasets",)),
    "a file that is gone": (math_of("gone.jsonl"), ("gone.jsonl is neither a file nor a folder",)),
    "a module that is missing": (
        own("nowhere:Task"),
        ("env.name: cannot import nowhere: ModuleNotFoundError",),
    ),
    "a module that raises": (
        own("bad_import:Task"),
        ("env.name: cannot import bad_import: ZeroDivisionError",),
    ),
    "a class that is missing": (own("bad_tasks:Hlaf"), ("no environment 'Hlaf'; did you mean 'Half'?",)),
    "an object that is no environment": (
        own("bad_tasks:number"),
        ("('number' is none: derive it from envs.Env",),
    ),
    "an environment that lacks methods": (
        own("bad_tasks:Half"),
        ("'bad_tasks:Half' does not define advance, ",),
    ),
    "an environment that raises": (
        own("bad_tasks:Raises"),
        ("environment 'bad_tasks:Raises' raised KeyError: 'gone' (", "try it with `stride check`"),
    ),
    "a reward that is missing": (
        own_reward("bad_tasks:none"),
        ("rewards: reward 'bad_tasks:none'", "it has: "),
    ),
    "a reward whose module raises": (
        own_reward("bad_import:half"),
        ("cannot import bad_import: ZeroDivisionError",),
    ),
    "a reward that takes no trace": (own_reward("bad_tasks:no_trace"), ("rewards: ", "bad_tasks:no_trace")),
    "a range that is backwards": (own_reward("bad_tasks:backwards"), ("rewards: ", "bad_tasks")),
}


def test_these_mistakes_are_found_before_torch_is_imported(folder: Path) -> None:
    late = (
        "limit below every demonstration",
        "demonstration longer than the context",
        "positions drawn beyond the context",
        "jumps without line positions",
        "drawn positions with line positions",
    )
    found = [arguments for name, (arguments, _) in CASES.items() if name not in late and "data set" not in name]
    check_before_torch(folder, found[::5])


@pytest.mark.parametrize(("arguments", "parts"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check(arguments, parts, capsys)


@pytest.mark.parametrize("policy", [[], ["warm_start={updates: 2}"]])
def test_a_tiny_model_for_data_without_solutions(
    policy: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "id"):
        rows = [json.dumps({"question": f"{name} {i}?", "answer": str(i)}) for i in range(8)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    data = "env={name: math, settings: {train: train.jsonl, id: id.jsonl}}"
    more = policy or ["warm_start=null"]
    check(
        ["good.yaml", data, "eval={splits: [id], num_problems: 4}", *more],
        ("whose vocabulary is that of the worked solutions, but train.jsonl row ", "to a pretrained model"),
        capsys,
    )


def test_prompts_that_are_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    # The shortest prompt, with one action, is longer than five tokens.
    check(
        ["good.yaml", "rollout.max_prompt_tokens=5", "grpo=null"],
        ("rollout.max_prompt_tokens is 5, but the prompt of",),
        capsys,
    )
