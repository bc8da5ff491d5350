"""From the config's `prompt` section to the text of a prompt, and what is refused on the way."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from transformers import PhiConfig, PhiForCausalLM

from configs import ConfigError, check_config
from configs.schema.prompt import PromptConfig
from envs import ENVS, Problem, Split, Status, make_env, make_example, render_trace
from rl.build import worker_spec
from rl.models.policy import load_policy
from rl.models.tiny import make_tokenizer
from rl.parts import build_parts
from rl.prompts import build_prompt_format, make_prompt_format
from rollout.encoder import make_encoder
from rollout.prompt_format import PromptFormat
from rollout.types import FinishReason, GroupRequest
from tests.kit.byte_tokenizer import FAMILIES

ENV = make_env("countdown")
PROBLEM = ENV.problem(Split.ID, 0)


def chat_text(prompts: PromptFormat, problem: Problem = PROBLEM) -> list[tuple[str, str]]:
    return [(role, "".join([p.text for p in pieces])) for role, pieces in prompts.messages(problem)]


def plain_text(prompts: PromptFormat, problem: Problem = PROBLEM) -> str:
    return "".join([piece.text for piece in prompts.text(problem)])


def refuse(**keys: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        make_prompt_format(check_prompt(keys), ENV)
    message = str(refused.value)
    assert "\n" not in message
    return message


def check_prompt(keys: dict[str, Any]) -> PromptConfig:
    terms = {"terms": [{"name": "correct", "weight": 1}]}
    return check_config({"env": {"name": "countdown"}, "rewards": terms, "prompt": keys}).prompt


# ---- defaults ----


@pytest.mark.parametrize("name", sorted(ENVS))
def test_without_a_chat_template_the_default_prompt_is_the_tasks_own_to_the_byte(name: str) -> None:
    env = make_example(name)
    prompts = make_prompt_format(PromptConfig(), env)
    for budget in (None, 1, 3):
        problem = env.problem(Split.TRAIN, 0, budget=budget)
        assert plain_text(prompts, problem) == problem.prompt
        assert problem.prompt.endswith("\nAnswer:\n")


def test_the_default_tiny_encoder_gives_the_ids_of_the_text() -> None:
    encoder = make_encoder(make_tokenizer(ENV), make_prompt_format(PromptConfig(), ENV))
    assert encoder.encode_prompt(PROBLEM) == encoder.encode(PROBLEM.prompt)


def test_a_chat_turn_says_what_to_do_and_how_to_answer_and_has_no_cue() -> None:
    prompts = make_prompt_format(PromptConfig(system_prompt="Be short."), ENV)
    wanted = f"{ENV.instruction}\n\n{PROBLEM.question}\n\n{ENV.format_request}"
    assert chat_text(prompts) == [("system", "Be short."), ("user", wanted)]
    assert "Answer:" not in wanted
    asked = f"{ENV.instruction}\n\n{PROBLEM.question}\n\nLet's solve it in 2 steps.\n{ENV.format_request}"
    assert chat_text(prompts, ENV.with_budget(PROBLEM, 2))[-1] == ("user", asked)
    # The questions of `math` need no instruction.
    env = make_example("math")
    problem = env.problem(Split.TRAIN, 0)
    boxed = "Please reason step by step, and put your final answer within \\boxed{}."
    plain = make_prompt_format(PromptConfig(), env)
    assert chat_text(plain, problem) == [("user", f"{problem.question}\n\n{boxed}")]
    # The task's setting replaces its request, in templates too.
    own = make_prompt_format(PromptConfig(), make_example("math", instruction="End with: Answer: X"))
    assert chat_text(own, problem) == [("user", f"{problem.question}\n\nEnd with: Answer: X")]
    filled = make_prompt_format(
        check_prompt({"template": "{question}\n{format}"}), make_example("math", instruction="Be brief.")
    )
    assert plain_text(filled, problem) == f"{problem.question}\nBe brief."
    silent = make_prompt_format(PromptConfig(), make_example("math", instruction=""))
    assert chat_text(silent, problem) == [("user", problem.question)]


def test_a_request_of_ones_own_is_in_plain_prompts_too_and_the_tasks_is_not() -> None:
    env = make_example("math", instruction="End with: Answer: X")
    problem = env.problem(Split.TRAIN, 0)
    own = make_prompt_format(PromptConfig(), env)
    assert plain_text(own, problem) == f"{problem.question}\nEnd with: Answer: X\nAnswer:\n"
    asked = f"{problem.question}\nLet's solve it in 3 steps.\nEnd with: Answer: X\nAnswer:\n"
    assert plain_text(own, env.with_budget(problem, 3)) == asked
    assert problem == make_example("math").problem(Split.TRAIN, 0)  # the same problem, whatever is asked for
    for silent in (make_example("math"), make_example("math", instruction="")):
        assert plain_text(make_prompt_format(PromptConfig(), silent), problem) == problem.prompt
    shown = plain_text(make_prompt_format(PromptConfig(few_shot=1), env), problem)
    assert shown.count("End with: Answer: X\nAnswer:\n") == 2


# ---- templates ----


def test_a_template_is_filled_in_chats_and_plain_text_alike() -> None:
    template = "Q: {question}\nUse {budget} steps.\n{format} Not {{budget}}, \\boxed{} or {1}.\nA:"
    prompts = make_prompt_format(check_prompt({"template": template}), ENV)
    question = f"{ENV.instruction}\n\n{PROBLEM.question}"
    wanted = f"Q: {question}\n{ENV.format_request} Not {{budget}}, \\boxed{{}} or {{1}}.\nA:"
    assert plain_text(prompts) == wanted
    assert chat_text(prompts) == [("user", wanted)]
    asked = wanted.replace("\n" + ENV.format_request, f"\nUse 4 steps.\n{ENV.format_request}")
    assert plain_text(prompts, ENV.with_budget(PROBLEM, 4)) == asked


def test_slots_in_a_question_are_not_filled() -> None:
    problem = make_env("math", make_example("math").settings).problem(Split.TRAIN, 0)
    odd = Problem(**{name: getattr(problem, name) for name in problem.__slots__} | {"question": "{format}"})
    prompts = make_prompt_format(check_prompt({"template": "{question}!"}), make_example("math"))
    assert plain_text(prompts, odd) == "{format}!"


def test_splits_can_have_templates_of_their_own() -> None:
    prompts = make_prompt_format(PromptConfig(template={"id": "{question}?"}), ENV)
    train = ENV.problem(Split.TRAIN, 0)
    assert plain_text(prompts).endswith(f"{PROBLEM.question}?")
    assert plain_text(prompts, train) == train.prompt


# ---- few-shot ----


def test_few_shot_examples_are_turns_of_a_chat_or_stand_before_a_plain_prompt() -> None:
    prompts = make_prompt_format(PromptConfig(few_shot=2), ENV)
    first, second = (ENV.problem(Split.TRAIN, index) for index in (0, 1))
    answers = [render_trace(ENV.full_trace(problem), problem.answer) for problem in (first, second)]
    assert plain_text(prompts) == (
        f"{first.prompt}{answers[0]}\n\n{second.prompt}{answers[1]}\n\n{PROBLEM.prompt}"
    )
    roles, texts = zip(*chat_text(prompts), strict=True)
    assert roles == ("user", "assistant", "user", "assistant", "user")
    assert (texts[1], texts[3]) == (answers[0], answers[1])
    assert first.question in texts[0]


def test_no_problem_is_its_own_example() -> None:
    prompts = make_prompt_format(PromptConfig(few_shot=2), ENV)
    for index in range(4):
        problem = ENV.problem(Split.TRAIN, index)
        text = plain_text(prompts, problem)
        assert text.count(problem.question) == 1
        assert text.count("Answer:\n") == 3


def test_examples_can_be_given() -> None:
    given = {"examples": [{"question": "1 + 1?", "answer": "Thus, the answer is 2."}]}
    prompts = make_prompt_format(check_prompt(given), ENV)
    assert plain_text(prompts) == f"1 + 1?\nAnswer:\nThus, the answer is 2.\n\n{PROBLEM.prompt}"


def test_the_tiny_model_reads_every_prompt_of_its_format() -> None:
    template = "Wow! {question}\n{format}\n=>"
    prompts = make_prompt_format(check_prompt({"template": template, "few_shot": 1, "prefill": "Sure"}), ENV)
    encoder = make_encoder(make_tokenizer(ENV, prompts=prompts), prompts)
    ids = encoder.encode_prompt(PROBLEM)
    assert encoder.tokenizer.unk_token_id not in ids
    assert encoder.show(ids) == plain_text(prompts)


# ---- mistakes ----


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        (
            {"template": "{question} {hint}"},
            ["prompt.template: unknown slot {hint}", "known: {question}, {budget}"],
        ),
        ({"template": "Solve it."}, ["prompt.template: it has no slot {question}"]),
        ({"template": "{{question}}"}, ["no slot {question}"]),
        ({"template": {"id": "Solve it.", "train": "{question}"}}, ["prompt.template.id: it has no slot"]),
        ({"template": "{question} in {budget} steps"}, ["{budget} and {question} share the line"]),
    ],
)
def test_templates_that_cannot_be_filled(keys: dict[str, Any], parts: list[str]) -> None:
    message = refuse(**keys)
    for part in parts:
        assert part in message


def test_too_few_examples() -> None:
    with pytest.raises(
        ConfigError, match=re.escape("but 0 were found in 'reasoning_gym'; lower it, or give prompt.examples")
    ):
        make_prompt_format(PromptConfig(few_shot=1), make_example("reasoning_gym"))


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"template": {"hard": "{question}"}}, "is 'hard': input should be 'train', 'id'"),
        ({"examples": [{"question": "1 + 1?"}]}, "missing key 'prompt.examples.0.answer'"),
        ({"few_shot": 1, "examples": [{"question": "1", "answer": "1"}]}, "few_shot is 1, but examples has 1"),
        ({"few_shot": -1}, "few_shot"),
        ({"chat_template": False, "system_prompt": "x"}, "system_prompt needs the chat template"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs has ['tokenize']"),
    ],
)
def test_settings_that_the_schema_refuses(keys: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_prompt(keys)
    assert part in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_prefill_must_leave_the_tasks_own_solution_verified() -> None:
    data = {
        "env": {"name": "addition"},
        "rewards": {"terms": [{"name": "correct", "weight": 1}]},
        "prompt": {"prefill": "1. "},
    }
    env = make_env("addition")
    assert build_prompt_format(check_config(data), env).prefill == "1. "
    with pytest.raises(ConfigError, match=r"prompt.prefill 'Sure. ' is read .* \(Sure. 1. .*not a column sum"):
        build_prompt_format(check_config(data | {"prompt": {"prefill": "Sure. "}}), env)
    # Steps of free text are not checked, so any beginning will do.
    free = make_example("math")
    assert build_prompt_format(check_config(data | {"prompt": {"prefill": "Sure. "}}), free).prefill == "Sure. "


@pytest.mark.parametrize("stage", ["warm_start", "grpo"])
def test_a_template_without_a_budget_cannot_state_one(stage: str) -> None:
    terms = {"terms": [{"name": "correct", "weight": 1}]}
    config = check_config(
        {
            "env": {"name": "countdown"},
            "rewards": terms,
            "prompt": {"template": "{question}"},
            stage: {"budget_frac": 0.5},
        }
    )
    with pytest.raises(ConfigError, match=rf"{stage}.budget_frac is 0.5, but prompt.template has no slot"):
        build_prompt_format(config, ENV)


# ---- a whole way ----


def test_a_model_that_ends_its_turn_at_once_is_not_sampled_to_the_limit(tmp_path: Path) -> None:
    tokenizer = FAMILIES["qwen"].tokenizer()
    end, eos = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = PhiForCausalLM(PhiConfig(vocab_size=len(tokenizer), eos_token_id=eos, **size))
    assert model.lm_head.bias is not None
    model.lm_head.bias.data[end] = 100.0  # the only token it writes
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = check_config(
        {
            "device": "cpu",
            "threads": 1,
            "env": {"name": "countdown"},
            "policy": {"model": str(tmp_path)},
            "rollout": {"max_prompt_tokens": 1000, "max_new_tokens": 8, "threads": 1},
            "rewards": {"terms": [{"name": "correct", "weight": 1}]},
            "warm_start": None,
        }
    )
    parts = build_parts(config)
    policy = load_policy(config.policy, parts.env, prompts=parts.prompts, seed=0)
    asked = GroupRequest(group_id=0, split=Split.ID, index=0, budget=None, num_samples=2, seed=0)
    with closing(worker_spec(config, parts, policy).build()) as worker:
        (group,) = worker.rollout([asked]).groups
    for sample in group.samples:
        assert (sample.completion.ids, sample.completion.finish_reason) == ((end,), FinishReason.STOP)
        assert (sample.text, sample.trace.status) == ("", Status.MALFORMED)  # and not truncated
