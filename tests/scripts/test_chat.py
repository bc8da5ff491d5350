"""Asking a trained model: problems of a split and typed questions, each step with its verdict."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from configs import load_config
from configs.schema.config import PolicyConfig, TinyModelConfig
from envs import Split, make_env, make_example, render_trace
from rl.chat import Question, Reply, describe, read_question
from rl.models.policy import load_policy
from scripts.chat import main

CONFIG = """
name: small
env: {name: addition, settings: {train: ["2_2"], ood_easy: ["3_2"], ood_hard: ["3_3"]}}
policy: {tiny: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 32, max_positions: 128}}
rollout: {max_prompt_tokens: 64, max_new_tokens: 12, backend: ray}
rewards: {terms: [{name: correct, weight: 1.0}, {name: step_count, weight: -0.3, gate: correct}]}
device: cpu
threads: 1
"""
SETTINGS = {"train": ["2_2"], "ood_easy": ["3_2"], "ood_hard": ["3_3"]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose model has learnt nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(CONFIG)
    tiny = TinyModelConfig(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, max_positions=128)
    policy = load_policy(PolicyConfig(tiny=tiny), make_env("addition", SETTINGS), seed=0)
    policy.save(tmp_path / "run" / "models" / "grpo")
    return tmp_path / "run"


def test_a_problem_of_a_split(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--split", "ood_easy", "--index", "3", "--samples", "2", "--temperature", "1"]) == 0
    shown = capsys.readouterr().out
    problem = make_env("addition", SETTINGS).problem(Split.OOD_EASY, 3)
    assert shown.startswith(problem.prompt)
    assert shown.count(f" of {problem.num_full_steps};") == 2
    assert shown.count("reward ") == 2 and "correct +0.00, step_count +0.00" in shown


def test_the_prompt_as_the_model_gets_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--show-prompt", "--index", "3", "prompt.prefill='1. '"]) == 0
    problem = make_env("addition", SETTINGS).problem(Split.ID, 3)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{problem.prompt}1. \n")
    num, ids = shown.split("\n")[3].split(" tokens: ")
    assert len(ids.split()) == int(num)


def test_answers_repeat_and_depend_on_the_seed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for seed in ("1", "1", "2"):
        main(["run", "--index", "0", "--temperature", "1", "--seed", seed])
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]


def test_a_model_folder_in_a_run_uses_its_config(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run/models/grpo", "--index", "0"]) == 0
    inside = capsys.readouterr().out
    main(["run", "--index", "0"])
    assert capsys.readouterr().out == inside


def test_overrides_without_a_config(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "rollout.max_new_tokens=5", "--index", "0"]) == 0
    assert "5 tokens" in capsys.readouterr().out


def test_a_conversation(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n7\n\nAdd 12 and 34\nwhat is love\nq\n5\n"))
    assert main(["run"]) == 0
    shown, asked = capsys.readouterr()
    env = make_env("addition", SETTINGS)
    for index in (0, 7, 8):
        assert env.problem(Split.ID, index).question in shown
    assert "Add 12 and 34" in shown and "give --answer to judge it" in shown
    assert "what is love" in shown and "does not have the form of this task's questions" in shown
    assert env.problem(Split.ID, 5).question not in shown  # after q
    assert "Enter for problem 0" in asked


def test_a_typed_question_is_checked_step_by_step() -> None:
    env = make_env("addition", SETTINGS)
    question = read_question(env, "Add 45 and 78", "123")
    assert question.in_form and question.answer_known and question.problem.num_full_steps == 3
    right = [
        "1. 5 + 8 + 0 = 13, write 3, carry 1",
        "2. 4 + 7 + 1 = 12, write 2, carry 1",
        "3. carry 1, write 1",
    ]
    wrong = "1. 5 + 8 + 0 = 13, write 4, carry 1"
    text = render_trace([wrong, "<backtrack>", *right], "123")
    shown = describe(question, [Reply(text=text, trace=env.check(question.problem, env.parse(text)))])
    assert shown.splitlines() == [
        f"  {wrong}    [invalid: written part should be 3, taken back]",
        "  <backtrack>    [goes back]",
        *[f"  {line}    [valid]" for line in right],
        "answer 123: correct, verified; 4 steps of 3; complete, 0 tokens",
    ]


def test_steps_that_are_not_checked_are_counted() -> None:
    env = make_example("math")
    problem = env.problem(Split.ID, 0)
    question = Question(problem=problem, in_form=True, answer_known=True)
    trace = env.check(problem, env.parse(f"10 / 6 = 1\n\nThus, the answer is {problem.answer}."))
    shown = describe(question, [Reply(text="", trace=trace)]).splitlines()
    assert shown == [
        "  10 / 6 = 1    [not checked]",
        f"answer {problem.answer}: correct; 1 step counted; complete, 0 tokens",
    ]


def test_without_the_right_answer_steps_are_checked_and_the_answer_is_not() -> None:
    env = make_env("addition", SETTINGS)
    question = read_question(env, "Add 4 and 5", None)
    text = render_trace(["1. 4 + 5 + 0 = 8, write 8, carry 0"], "8")
    shown = describe(question, [Reply(text=text, trace=env.check(question.problem, env.parse(text)))])
    assert "[invalid: sum should be 9]" in shown
    assert shown.splitlines()[-1].startswith(
        "answer 8: not judged; give --answer to judge it; 1 step, 1 invalid"
    )


def test_a_task_that_needs_no_right_answer_judges_a_typed_question() -> None:
    env = make_env("countdown")
    question = read_question(env, "Numbers: 2, 39, 45, 10. Target: 62", None)
    text = render_trace(["45 - 39 = 6", "10 * 6 = 60", "60 + 2 = 62"], "10 * (45 - 39) + 2")
    shown = describe(question, [Reply(text=text, trace=env.check(question.problem, env.parse(text)))])
    assert shown.splitlines()[-1].startswith("answer 10 * (45 - 39) + 2: correct; 3 steps, 0 invalid")


@pytest.mark.parametrize(
    "name",
    ["directional", "algebra", "multistep_arithmetic", "graph_search", "sudoku", "arc_1d", "geometry", "math"],
)
def test_any_text_may_be_typed_in_any_task(name: str) -> None:
    env = make_example(name)
    for text in ("what is love", "", "9" * 50, "Numbers: , Target: "):
        question = read_question(env, text, None)
        assert not question.answer_known
        # Rows of pixels are read leniently; every other task rejects this as a question.
        assert name == "arc_1d" or not question.in_form
    problem = env.problem(Split.TRAIN, 0)
    assert read_question(env, problem.question, problem.answer).answer_known


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "MODEL is missing; for example: stride chat runs/quickstart"),
        (["nowhere"], "'nowhere' is no folder of a run, so CONFIG is needed"),
        (["empty"], "empty holds neither a run (config.yaml) nor a model"),
        (["run", "--index", "-1"], "--index is -1; problems are numbered from 0"),
        (["run", "--answer", "3"], "--answer belongs to --question"),
        (["run", "--samples", "0"], "--samples is at least 1"),
        (["run", "--split", "test"], "invalid choice: 'test'"),
        (["run", "rollout.max_new_token=5", "--index", "0"], "did you mean 'max_new_tokens'?"),
        (["run", "rollout.max_prompt_tokens=3", "--index", "0"], "over rollout.max_prompt_tokens (3)"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], part: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith("error: ") and part in err and err.count("\n") == 1


def test_a_shipped_config_with_its_own_policy(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_config("quickstart").name == "quickstart"
    assert main(["config", "quickstart", "rollout.max_new_tokens=4", "--index", "0"]) == 0
    assert "4 tokens" in capsys.readouterr().out
