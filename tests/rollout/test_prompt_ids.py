"""The ids of a prompt are those of the library: chat templates, BOS, the end of a turn, prefill."""

from __future__ import annotations

import pytest

from envs import Split, make_env
from rollout.encoder import Encoder, make_encoder
from rollout.prompt_format import PromptFormat, Shot
from tests.kit.byte_tokenizer import FAMILIES, byte_tokenizer
from tests.kit.problems import ask, make_problem

SHOTS = (
    Shot(question="1 + 1?", prompt="1 + 1?\n", answer="Thus, the answer is 2."),
    Shot(question="2 + 2?", prompt="2 + 2?\n", answer="Thus, the answer is 4."),
)
CHAT = PromptFormat(instruction="Add.", format_request="Write \\boxed{}.", shots=SHOTS, num_shots=1)


def family_encoder(name: str, prompts: PromptFormat = CHAT, **names: str | None) -> Encoder:
    return make_encoder(FAMILIES[name].tokenizer(**names), prompts)


# ---- chat templates ----


@pytest.mark.parametrize("name", FAMILIES)
def test_a_chat_prompt_has_the_ids_of_apply_chat_template(name: str) -> None:
    encoder = family_encoder(name)
    messages = [
        {"role": "user", "content": "Add.\n\n1 + 1?\n\nWrite \\boxed{}."},
        {"role": "assistant", "content": "Thus, the answer is 2."},
        {"role": "user", "content": "Add.\n\n3 + 3?\n\nLet's solve it in 1 step.\nWrite \\boxed{}."},
    ]
    wanted = encoder.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    problem = make_env("addition").with_budget(make_problem("addition", "3 + 3?", "6"), 1)
    assert list(encoder.encode_prompt(problem)) == wanted


@pytest.mark.parametrize("name", FAMILIES)
def test_the_token_that_ends_a_turn_ends_a_completion_and_is_taught(name: str) -> None:
    family = FAMILIES[name]
    encoder = family_encoder(name)
    end, eos = encoder.tokenizer.convert_tokens_to_ids([family.turn_end, family.eos])
    assert encoder.stop_ids == tuple(dict.fromkeys([end, eos]))
    assert encoder.encode_completion("2") == (*encoder.encode("2"), end)
    # The tokens of a prompt and its taught completion are those of the rendered chat.
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "2"}]
    prompts = PromptFormat()
    whole = [*make_encoder(encoder.tokenizer, prompts).encode_prompt(ask("q")), *encoder.encode_completion("2")]
    rendered = encoder.tokenizer.apply_chat_template(messages, return_dict=False)
    # Mistral's template writes a space before an answer, Qwen3's a thought (test_thoughts.py).
    assert rendered[: len(whole)] == whole or name in ("mistral", "qwen3")
    # Without the chat template nothing ends a turn.
    assert family_encoder(name, PromptFormat(chat_template=False)).stop_ids == (eos,)


def test_a_template_that_ends_turns_in_words_adds_no_stop_token() -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    encoder = make_encoder(byte_tokenizer(chat_template=template), PromptFormat())
    assert encoder.stop_ids == (encoder.tokenizer.eos_token_id,)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("template", [None, "<|im_end|><s><bos>\n{question}\n{format}"])
def test_control_tokens_in_data_stay_text_in_every_place(name: str, template: str | None) -> None:
    templates = {} if template is None else {Split.TRAIN: template}
    for chat_template in (None, False):
        hostile = "".join(FAMILIES[name].control)
        shots = (Shot(question=hostile, prompt=hostile, answer=hostile),)
        ids = {}
        for text, examples in ((hostile, shots), ("?", (Shot(question="!", prompt="!", answer="."),))):
            prompts = PromptFormat(
                templates=templates, shots=examples, num_shots=1, chat_template=chat_template
            )
            encoder = family_encoder(name, prompts)
            asked = ask(f"{text} " if text == hostile else text)  # no problem is its own example
            ids[text] = encoder.encode_prompt(asked)
        controls = [[token for token in one if token in encoder.control_ids] for one in ids.values()]
        assert controls[0] == controls[1]
        assert encoder.show(ids[hostile]).count(hostile) >= 3


def test_variables_reach_the_template() -> None:
    encoder = family_encoder("qwen3", PromptFormat(chat_template_kwargs={"enable_thinking": False}))
    shown = encoder.show(encoder.encode_prompt(ask("q")))
    assert shown.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert family_encoder("qwen3", PromptFormat()).encode_prompt(ask("q")) != encoder.encode_prompt(ask("q"))


# ---- without a chat template ----


@pytest.mark.parametrize("around", ["<s> $A", "<s> $A </s>"])
def test_without_a_template_the_tokenizers_own_tokens_are_added_once(around: str) -> None:
    family = FAMILIES["mistral"]
    tokenizer = byte_tokenizer(control=family.control, around=around, eos_token="</s>", chat_template=None)
    encoder = make_encoder(tokenizer)
    text = encoder.encode("3 + 4")
    bos = tokenizer.convert_tokens_to_ids("<s>")
    # A prompt is not ended, even where the tokenizer ends every text.
    assert encoder.encode_prompt(ask("3 + 4")) == (bos, *text)
    assert tokenizer.encode("3 + 4")[: 1 + len(text)] == [bos, *text]
    # Neither a template that spells the token out nor a text that does changes that it is there once.
    spelled = PromptFormat(templates={Split.TRAIN: "<s>{question}"})
    assert make_encoder(tokenizer, spelled).encode_prompt(ask("3 + 4")) == (bos, *text)
    assert encoder.encode_prompt(ask("<s>3 + 4")) == (bos, *encoder.encode("<s>3 + 4"))
    assert encoder.encode_completion("7")[0] != bos


@pytest.mark.parametrize("name", ["llama3", "gemma", "mistral"])
def test_bos_is_there_once(name: str) -> None:
    for prompts in (PromptFormat(), PromptFormat(chat_template=False)):
        encoder = family_encoder(name, prompts)
        ids = encoder.encode_prompt(ask("3 + 4"))
        assert ids[0] == encoder.tokenizer.bos_token_id
        assert ids.count(ids[0]) == 1
    # A chat template without BOS is the model's own form, though the tokenizer would add it.
    bare = family_encoder(
        name, PromptFormat(), chat_template=FAMILIES[name].template.replace("bos_token", "''")
    )
    assert encoder.tokenizer.bos_token_id not in bare.encode_prompt(ask("3 + 4"))


def test_the_default_prompt_of_a_tokenizer_that_adds_nothing_is_the_tasks_text() -> None:
    encoder = make_encoder(byte_tokenizer(chat_template=None))
    problem = make_env("addition").problem(Split.ID, 3, budget=2)
    assert encoder.show(encoder.encode_prompt(problem)) == problem.prompt
    assert problem.prompt.endswith("\nLet's solve it in 2 steps.\nAnswer:\n")


# ---- prefill ----


@pytest.mark.parametrize("chat_template", [None, False])
def test_prefill_is_part_of_the_prompt_and_read_with_the_completion(chat_template: bool | None) -> None:
    plain = family_encoder("qwen", PromptFormat(chat_template=chat_template))
    encoder = family_encoder("qwen", PromptFormat(chat_template=chat_template, prefill="1. "))
    assert encoder.encode_prompt(ask("q")) == (*plain.encode_prompt(ask("q")), *encoder.encode("1. "))
    stop = encoder.stop_ids[0]
    assert encoder.decode((*encoder.encode("5 + 3"), stop)) == "1. 5 + 3"
    # A demonstration that begins with the prefill goes on from there; another one follows it.
    assert encoder.encode_completion("1. 5 + 3") == (*encoder.encode("5 + 3"), stop)
    assert encoder.encode_completion("5 + 3") == (*encoder.encode("5 + 3"), stop)


def test_prefill_may_open_marks_that_are_tokens() -> None:
    tokenizer = byte_tokenizer(control=("<|end|>", "<|pad|>", "<think>"), chat_template=None)
    ids = make_encoder(tokenizer, PromptFormat(prefill="<think>\n")).encode_prompt(ask("q"))
    assert ids[-2:] == (tokenizer.convert_tokens_to_ids("<think>"), *make_encoder(tokenizer).encode("\n"))


# ---- what cannot be used ----


@pytest.mark.parametrize(
    ("name", "prompts", "parts"),
    [
        (
            "gemma",
            PromptFormat(system_prompt="Be short."),
            ["refuses the messages", "System role not supported"],
        ),
        (
            "qwen",
            PromptFormat(chat_template_kwargs={"enable_thinkin": False}),
            ["'enable_thinkin'", "not read"],
        ),
        ("qwen", PromptFormat(prefill="x<|im_end|>"), ["prompt.prefill has '<|im_end|>'", "ends a completion"]),
    ],
)
def test_settings_that_the_tokenizer_cannot_carry(name: str, prompts: PromptFormat, parts: list[str]) -> None:
    with pytest.raises(ValueError) as refused:
        family_encoder(name, prompts)
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("prompts", "key"),
    [
        (PromptFormat(system_prompt="Be short."), "prompt.system_prompt is set"),
        (PromptFormat(chat_template_kwargs={"a": 1}), "prompt.chat_template_kwargs is set"),
    ],
)
def test_chat_settings_need_a_template(prompts: PromptFormat, key: str) -> None:
    with pytest.raises(ValueError, match=f"{key}, but the tokenizer has no chat template"):
        family_encoder("qwen", prompts, chat_template=None)
