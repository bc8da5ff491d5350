"""Expert iteration on models of seconds: its rounds, what they learn from, resuming, actors, refusals."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from configs import Config, ConfigError
from configs.schema.search import ExpertIterationConfig
from envs import make_env
from rl.iterate.run import iterate
from rl.models.tiny import make_tokenizer
from rl.pages.render import is_page
from rl.runs.models import find_trained
from rl.runs.state import Condition, read_state
from rl.search.expert import kept_examples
from rl.search.expert_record import evaluated_log, expert_log, model_folder, searched_log
from rl.search.record import Draw, ProblemRow, Response, SearchRow
from rl.train import train
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
    "rollout": {"max_prompt_tokens": 100, "max_new_tokens": 60, "num_actors": 2},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": None,
    "eval": {"splits": ["id"], "num_problems": 6, "problems_per_batch": 4, "num_samples": 0},
    "search": {"breadth": [2, 4]},
    "expert_iteration": {"rounds": 2, "num_problems": 10, "updates": 5, "keep": "any"},
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


def test_greedy_decoding_alone_can_be_evaluated(tmp_path: Path) -> None:
    settings = {"rounds": 0, "evaluate_search": False}
    few = {**CONFIG["warm_start"], "updates": 2}
    iterate(config(tmp_path / "run", expert_iteration=settings, warm_start=few))
    (row,) = expert_log(tmp_path / "run").read()
    assert set(row.greedy) == {"id"} and row.searched == {}


ENV = make_env("countdown", {"train": ["3"], "ood_easy": ["3_new"], "ood_hard": ["4"]})


def test_only_what_verifies_is_learnt_from() -> None:
    problem = ENV.problem("train", 5)  # type: ignore[arg-type]
    right = "\n".join([*ENV.full_trace(problem), f"Thus, the answer is {problem.answer}."])
    texts = {right: True, right.replace("\n", "\nleft: 1\n", 1): False, "Thus, the answer is 1.": False}
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
