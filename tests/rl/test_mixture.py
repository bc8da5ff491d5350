"""A run over several environments: prompts, demonstrations, rewards and results are each part's own."""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import Config, ConfigError, check_config, load_config
from envs import Env, Split, make_env
from envs.tasks.math.task import EXAMPLE
from rl.chat import read_question
from rl.models.tiny import make_tokenizer
from rl.parts import build_parts
from rl.runs.log import evaluation_log
from rl.runs.record import Stage
from rl.sft.examples import TraceKind, make_examples
from rl.train import train
from rollout.prompt_format import PromptFormat
from tests.kit.own_env import RECIPES, block_of, write_own_env

TURNS = {"name": "directional", "settings": {"train": ["3"], "ood_easy": ["4"], "ood_hard": ["5"]}}
WORDS = {"name": "math", "settings": {"preset": "gsm8k", "train": str(EXAMPLE)}}
PLAN = {"name": "countdown"}
CONFIG: dict[str, Any] = {
    "name": "mixture",
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "mixture", "settings": {"parts": [TURNS, WORDS]}},
    "policy": {"tiny": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64}},
    "warm_start": {"updates": 4, "num_problems": 32, "batch_size": 8},
    "rollout": {"samples_per_problem": 4, "max_prompt_tokens": 256, "max_new_tokens": 48, "threads": 1},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": {"updates": 2, "problems_per_update": 4, "dynamic_sampling": False},
    "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0},
}


def config_of(*parts: dict[str, Any], **changes: Any) -> Config:
    return check_config({**CONFIG, "env": {"name": "mixture", "settings": {"parts": [*parts]}}, **changes})


def texts(prompts: PromptFormat, env: Env[Any], index: int) -> tuple[str, str]:
    """The plain prompt of a train problem, and its last chat message."""
    problem = env.problem(Split.TRAIN, index)
    chat = prompts.messages(problem)[-1].content
    return "".join(piece.text for piece in prompts.text(problem)), "".join(piece.text for piece in chat)


def test_each_part_asks_in_its_own_words_and_shows_its_own_examples() -> None:
    for few_shot in (0, 2):
        config = config_of(TURNS, PLAN, prompt={"few_shot": few_shot})
        parts = build_parts(config)
        for index, part in ((0, TURNS), (1, PLAN)):
            changes = {"env": part, "prompt": {"few_shot": few_shot}, "warm_start": None}
            alone = build_parts(check_config({**CONFIG, **changes}))
            assert parts.env.problem(Split.TRAIN, index).part == part["name"]
            assert texts(parts.prompts, parts.env, index) == texts(alone.prompts, alone.env, 0)


def test_the_recipe_learns_one_part_first_with_the_words_of_all() -> None:
    section = yaml.safe_load(block_of("yaml", RECIPES / "mixture.md", place=1))
    parts = build_parts(check_config({**CONFIG, **section}))
    shown = [
        {env.problem(Split.TRAIN, index).part for index in range(4)} for env in (*parts.curriculum, parts.env)
    ]
    assert shown == [{"multistep_arithmetic"}, {"countdown"}, {"multistep_arithmetic", "countdown"}]
    tokenizer = make_tokenizer(parts.env, section["policy"]["tiny"]["number_digits"])
    plain = make_env("countdown", parts.env.parts["countdown"].settings.model_dump())
    for index in range(220, 260):  # the vocabulary is from the first 100 of each part
        problem = plain.problem(Split.TRAIN, index)
        text = problem.prompt + plain.demonstrate(plain.full_trace(problem), problem.answer)
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids, text


def test_each_part_is_taught_what_it_can_write() -> None:
    """Algebra skips steps and knows no detours; countdown writes detours too."""
    env = build_parts(config_of({"name": "algebra"}, PLAN)).env
    warm = check_config({**CONFIG, "warm_start": {"skipped_frac": 0.3, "detour_frac": 0.7}}).warm_start
    assert warm is not None
    examples = make_examples(env, warm, num_problems=80, seed=0)
    kinds = {
        part: {example.written for example in examples if example.problem.part == part}
        for part in ("algebra", "countdown")
    }
    assert kinds["algebra"] == {TraceKind.FULL, TraceKind.SKIPPED}
    assert TraceKind.DETOUR in kinds["countdown"]
    for example in examples:
        part = env.part_of(example.problem)
        assert env.check(example.problem, part.parse(example.text)).passed


def test_a_part_without_solutions_is_left_out_of_the_warm_start() -> None:
    games = {"name": "reasoning_gym", "settings": {"task": "chain_sum"}}
    env = build_parts(config_of(games, TURNS)).env
    assert {env.problem(Split.TRAIN, index).part for index in range(4)} == {"reasoning_gym", "directional"}
    warm = check_config(CONFIG).warm_start
    assert warm is not None
    assert {one.problem.part for one in make_examples(env, warm, num_problems=6, seed=0)} == {"directional"}
    with pytest.raises(ConfigError, match="no worked solutions to learn from; set warm_start to null"):
        build_parts(config_of(games))


@pytest.mark.parametrize(
    ("parts", "changes", "message"),
    [
        (
            [TURNS, {"name": "addition", "settings": {"sed": 1}}],
            {},
            r"^env.settings.parts\[1\] \('addition'\): unknown key 'sed'; did you mean 'seed'\?",
        ),
        ([TURNS, {"nam": "addition"}], {}, r"env.settings of 'mixture': .*unknown key 'parts.1.nam'"),
        (
            [TURNS, WORDS],
            {"rewards": {"terms": [{"name": "correct", "weight": 1.0}, {"name": "verified", "weight": 0.5}]}},
            "checked steps are needed for .*, but 'math' counts steps and checks none",
        ),
        ([TURNS, WORDS], {"eval": {"splits": ["id"], "num_problems": 1000}}, "but id has [0-9]+; lower it"),
        (
            [TURNS, PLAN],
            {"warm_start": {"search_frac": 0.5, "skip_kinds": ["sideways"]}},
            r"skip_kinds has \['sideways'\], which 'mixture' does not know",
        ),
    ],
)
def test_mistakes(parts: list[dict[str, Any]], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_parts(config_of(*parts, **changes))
    assert "\n" not in str(caught.value)


def test_a_typed_question_goes_to_the_part_that_can_read_it() -> None:
    env = build_parts(config_of(PLAN, TURNS)).env
    question = read_question(env, "You face north. Actions: left", "west")
    assert (question.problem.part, question.in_form, question.problem.env) == ("directional", True, "mixture")
    trace = env.check(question.problem, env.part_of(question.problem).parse("west\nThus, the answer is west."))
    assert trace.verified
    nobody = read_question(env, "What is love?", None)
    assert (nobody.problem.part, nobody.in_form) == ("countdown", False)


def test_the_config_of_the_docs_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_env", raising=False)
    write_own_env(tmp_path)
    (tmp_path / "mixed.yaml").write_text(block_of("yaml", RECIPES / "mixture.md"))
    env = build_parts(load_config(tmp_path / "mixed.yaml")).env
    counts = Counter(env.problem(Split.TRAIN, index).part for index in range(8))
    assert counts == {"addition": 4, "directional": 2, "sort": 2}


@pytest.mark.slow
def test_a_run_is_evaluated_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_env", raising=False)
    write_own_env(tmp_path)
    (tmp_path / "run.yaml").write_text("name: mixed\nenv: {name: mixture}\nrewards: {terms: []}\n")
    own = {"name": "my_env:SortBySwaps", "settings": {"train": ["3"]}, "label": "sort"}
    settings = {"parts": [TURNS, own, {**WORDS, "weight": 0.5}]}
    changes = {**CONFIG, "env": {"name": "mixture", "settings": settings}, "output_dir": str(tmp_path / "run")}
    changes["eval"] = {"splits": ["id"], "num_problems": 8, "num_samples": 0}
    priced = {"name": "step_count", "weight": -0.2, "gate": "correct"}
    changes["rewards"] = {"terms": [*CONFIG["rewards"]["terms"], priced]}
    out = io.StringIO()
    folder = train(load_config(tmp_path / "run.yaml", (), changes), out=out)
    (warning,) = folder.summary().warnings
    assert (
        warning.startswith("step_count prices what math counts") and f"warning: {warning}\n" in out.getvalue()
    )
    assert "Warning: step_count prices what math counts" in (folder.path / "report.html").read_text()
    parts = {
        key.split("/")[1] for row in folder.metrics.read() for key in row.metrics if key.startswith("part/")
    }
    assert parts == {"directional", "math", "sort"}
    result = folder.summary().stages[Stage.GRPO]["id"]
    assert {label: bucket.num_problems for label, bucket in result.buckets.items()} == {
        "directional": 3,
        "math": 2,
        "sort": 3,
    }
    rows = evaluation_log(folder.path, Stage.GRPO, greedy=True).read()
    assert {row.env: row.steps_checked for row in rows} == {
        "mixture/directional": True,
        "mixture/sort": True,
        "mixture/math": False,
    }
