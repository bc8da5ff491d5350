"""Expert iteration on models of seconds: its rounds, what they learn from, resuming, actors, refusals."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from configs import Config, ConfigError
from configs.schema.search import ExpertIterationConfig, SearchConfig
from envs import make_env
from rl.iterate.run import iterate
from rl.models.tiny import make_tokenizer
from rl.pages.render import is_page
from rl.runs.config_changes import Kind, compare_configs
from rl.runs.models import find_trained
from rl.runs.state import Condition, read_state
from rl.search.expert import kept_examples, searched_accuracy, train_plan
from rl.search.expert_record import evaluated_log, expert_log, model_folder, searched_log
from rl.search.record import Draw, ProblemRow, Response, SearchRow
from rl.search.summary import Arm
from rl.train import check_rounds, train
from rollout.encoder import make_encoder
from scripts.iterate import main

CONFIG: dict[str, Any] = {
    "name": "expert",
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "directional", "settings": {"train": ["1"], "ood_easy": ["2"], "ood_hard": ["3"]}},
    "policy": {
        "tiny": {
            "hidden_size": 48,
            "num_layers": 2,
            "num_heads": 2,
            "intermediate_size": 64,
            "max_positions": 160,
        }
    },
    "warm_start": {
        "updates": 300,
        "num_problems": 30,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "skipped_frac": 0.0,
    },
    "rollout": {"max_prompt_tokens": 100, "max_new_tokens": 60, "num_actors": 1},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": None,
    "eval": {"splits": ["id"], "num_problems": 6, "problems_per_batch": 4, "num_samples": 0},
    "search": {"breadth": [2, 4]},
    "expert_iteration": {
        "rounds": 2,
        "num_problems": 10,
        "updates": 5,
        "learning_rate": 1e-3,
        "keep": "any",
    },
}


def config(folder: Path, **changes: Any) -> Config:
    return Config.model_validate({**CONFIG, "output_dir": str(folder), **changes})


def digests(folder: Path) -> list[str]:
    """Every model and every file of completions."""
    files = [model_folder(folder, number) / "model.safetensors" for number in range(3)]
    files += sorted((folder / "search").rglob("*.jsonl"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in [*files, folder / "expert.jsonl"]]


@pytest.mark.slow
def test_rounds_are_kept_and_go_on_bit_for_bit_wherever_they_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole"
    iterate(config(whole))
    rows = expert_log(whole).read()
    assert [row.round for row in rows] == [0, 1, 2] and [row.asked for row in rows] == [0, 10, 10]
    assert all(0 < row.kept <= 10 for row in rows[1:]) and [row.updates for row in rows] == [300, 5, 5]
    assert all(set(row.greedy) == set(row.searched) == {"id"} for row in rows)
    searched = searched_log(whole, 1).read()
    assert [row.index for row in searched] == list(range(30, 40))  # the warm start has seen those before
    assert [row.index for row in searched_log(whole, 2).read()] == list(range(40, 50))
    assert all(not row.samples and [s.breadth for s in row.searches] == [4] for row in searched)
    assert len(evaluated_log(whole, 2).read()) == 6 and len(evaluated_log(whole, 2).read()[0].searches) == 2
    page = (whole / "report.html").read_text()
    assert is_page(page) and "What each round learnt from" in page
    assert find_trained(whole).path == model_folder(whole, 2)
    assert read_state(whole).condition is Condition.ENDED
    # Stopped at the end of round 0, after a search, within one, and while actors do the rest.
    part = tmp_path / "part"
    iterate(config(part, expert_iteration={**CONFIG["expert_iteration"], "rounds": 0}))
    assert read_state(part).condition is Condition.ENDED
    iterate(config(part, expert_iteration={**CONFIG["expert_iteration"], "rounds": 1}), resume=True)
    log = expert_log(part)
    log.replace(log.read()[:1])
    lines = searched_log(part, 1).path.read_bytes().splitlines(keepends=True)
    searched_log(part, 1).path.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    assert read_state(part).next == "continues round 1 of 1 where it was cut off"
    rollout = {**CONFIG["rollout"], "backend": "ray"}
    iterate(config(part, rollout=rollout), resume=True)
    assert digests(part) == digests(whole)
    # The command prints its rounds.
    monkeypatch.chdir(tmp_path)
    assert main([str(whole / "config.yaml"), f"output_dir={whole}", "--resume"]) == 0
    assert "greedy id" in capsys.readouterr().out


def test_a_round_searches_other_problems_or_the_same() -> None:
    env = make_env("directional", CONFIG["env"]["settings"])
    for fresh, first in ((True, [30, 40, 50]), (False, [30, 30, 30])):
        settings = {**CONFIG["expert_iteration"], "fresh_problems": fresh}
        whole = config(Path("run"), expert_iteration=settings)
        assert [train_plan(whole, env, number).first for number in (1, 2, 3)] == first


def test_rounds_that_the_train_split_has_too_few_problems_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = make_env("directional", CONFIG["env"]["settings"])
    whole = config(Path("run"))  # 30 problems, and two rounds of 10
    check_rounds(whole, env)
    monkeypatch.setattr(type(env), "num_problems", lambda self, split: 49)
    with pytest.raises(
        ConfigError, match=r"are 50, and the train split has 49; .* set fresh_problems to false"
    ):
        check_rounds(whole, env)
    check_rounds(config(Path("run"), expert_iteration={"rounds": 2, "fresh_problems": False}), env)


def test_a_run_from_before_fresh_problems_searched_the_same_ones() -> None:
    now = config(Path("run"))
    saved = now.model_dump(mode="json")
    del saved["expert_iteration"]["fresh_problems"]
    (change,) = compare_configs(saved, now).changes
    assert str(change) == "expert_iteration.fresh_problems was false, is true" and change.kind is Kind.IDENTITY
    settings = {**CONFIG["expert_iteration"], "fresh_problems": False}
    found = compare_configs(saved, config(Path("run"), expert_iteration=settings))
    assert found.changes == () and found.new_keys == {"expert_iteration.fresh_problems": False}


def test_greedy_decoding_alone_can_be_evaluated(tmp_path: Path) -> None:
    settings = {"rounds": 0, "evaluate_search": False}
    few = {**CONFIG["warm_start"], "updates": 2}
    iterate(config(tmp_path / "run", expert_iteration=settings, warm_start=few))
    (row,) = expert_log(tmp_path / "run").read()
    assert set(row.greedy) == {"id"} and row.searched == {}
    # A damaged row is set aside, and its round is finished again without repeating anything.
    log = expert_log(tmp_path / "run")
    whole, out = log.path.read_bytes(), io.StringIO()
    log.path.write_text("{}\n")
    iterate(config(tmp_path / "run", expert_iteration=settings, warm_start=few), resume=True, out=out)
    assert "row 1 damaged, and left out" in out.getvalue() and log.path.read_bytes() == whole


def test_the_search_of_a_round_is_the_one_it_learns_from() -> None:
    search = SearchConfig(strategies=["self_backtracking", "verified_states"], breadth=[4, 2], depth=1)
    figures = dict.fromkeys(("low", "high", "covered", "answered", "tokens"), 0.0)
    found = [
        Arm(
            split="id",
            method=method,
            breadth=breadth,
            depth=depth,
            problems=1,
            accuracy=accuracy,
            verified=None,
            **figures,
        )
        for method, breadth, depth, accuracy in (
            ("greedy", None, None, 0.1),
            ("self_backtracking", 4, 0, 0.2),
            ("self_backtracking", 4, 1, 0.3),
            ("best_of_n", 4, 1, 0.4),
            ("self_backtracking", 2, 1, 0.5),
            ("verified_states", 4, 1, 0.9),
        )
    ]
    assert searched_accuracy(found, search) == {"id": 0.3}
    assert search.num_samples == 2 * (4 * 2 + 2 * 1)  # a round expands the root of N states of each search


ENV = make_env("countdown", {"train": ["3"], "ood_easy": ["3_new"], "ood_hard": ["4"]})


def test_only_what_verifies_is_learnt_from() -> None:
    problem = ENV.problem("train", 5)  # type: ignore[arg-type]
    first, *others = ENV.full_trace(problem)
    taken_back = "1 + 1 = 3"
    right = "\n".join([taken_back, "<backtrack>", first, *others, f"Thus, the answer is {problem.answer}."])
    texts = {right: True, right.replace(first, f"{first}\nleft: 1"): False, "Thus, the answer is 1.": False}
    responses = tuple(
        [
            Response(text=text, complete=True, answer="", correct=True, verified=ok, backtracks=0)
            for text, ok in texts.items()
        ]
    )

    def row(*scores: float) -> ProblemRow:
        draws = [
            Draw(round=0, state=0, tokens=9, score=score, response=place) for place, score in enumerate(scores)
        ]
        search = SearchRow(strategy="self_backtracking", breadth=4, states=("",), draws=tuple(draws))
        return ProblemRow(
            split="train",
            index=5,
            bucket="3",
            question=problem.question,
            answer=problem.answer,
            responses=responses,
            greedy=None,
            samples=(),
            searches=(search,),
        )

    encoder = make_encoder(make_tokenizer(ENV, number_digits=2))
    for keep, scores, kept in (
        ("chosen", (-1.0, -2.0, -3.0), 1),
        ("chosen", (-1.0, -0.5, -3.0), 0),  # right, but a line of it is wrong
        ("any", (-9.0, -0.5, -0.1), 1),
    ):
        settings = ExpertIterationConfig(keep=keep)  # type: ignore[arg-type]
        whole = config(Path("run")).model_copy(update={"expert_iteration": settings})
        examples = kept_examples(ENV, encoder, [row(*scores)], whole)
        assert [one.text for one in examples] == [right] * kept
        # The wrong line is read and not learnt, as in the warm start.
        assert [one.ignored for one in examples] == [((0, len(taken_back)),)] * kept
        assert whole.warm_start is not None
        imitates = whole.warm_start.model_copy(update={"mask_wrong_steps": False})
        examples = kept_examples(
            ENV, encoder, [row(*scores)], whole.model_copy(update={"warm_start": imitates})
        )
        assert [one.ignored for one in examples] == [()] * kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warm_start": None}, "warm_start is null, but expert_iteration trains by its hyper-parameters"),
        ({"grpo": {}}, "grpo and expert_iteration are both given; set one of them to null"),
        ({"eval": {"every": 2}}, "eval.every is for `stride train`, but the config has expert_iteration"),
    ],
)
def test_sections_that_contradict_it_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(Path("run"), **changes)


def test_it_is_for_iterate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expert_iteration; run it with `stride iterate`"):
        train(config(tmp_path / "run"))
