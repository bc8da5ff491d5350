"""Prompts that open a thought, models that do, and what the warm start teaches them."""

from __future__ import annotations

import pytest

from envs import Split, Thinking, make_env
from rl.sft.encode import IGNORED, encode_examples
from rl.sft.examples import Example, TraceKind
from rollout.encoder import Encoder, make_encoder
from rollout.prompt_format import PromptFormat
from rollout.read_trace import read_trace
from tests.kit.byte_tokenizer import CONTROL, FAMILIES, byte_tokenizer

ENV = make_env("addition")
PROBLEM = ENV.problem(Split.TRAIN, 0)
TEXT = ENV.demonstrate(ENV.full_trace(PROBLEM), PROBLEM.answer)
LINES, CLOSING = TEXT.rpartition("\n")[0], TEXT.rpartition("\n")[2]
TURN = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|bot|>"
OFF = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
QWEN3 = TURN + OFF + "{% endif %}"
R1 = TURN + "<think>\n{% endif %}{# an answer follows </think> #}"


def encoder(template: str, *, control: tuple[str, ...] = CONTROL, **prompts: object) -> Encoder:
    settings = {"chat_template": True, "thinking": "auto", **prompts}
    return make_encoder(byte_tokenizer(control=control, chat_template=template), PromptFormat(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("template", "prompts", "taught"),
    [
        (QWEN3, {}, f"<think>\n{LINES}\n</think>\n\n{CLOSING}"),
        (QWEN3, {"chat_template_kwargs": {"enable_thinking": False}}, TEXT),
        (R1, {}, f"{LINES}\n</think>\n\n{CLOSING}"),
        (R1.replace("<think>\n", "<think>"), {}, f"\n{LINES}\n</think>\n\n{CLOSING}"),
        (QWEN3, {"prefill": "<think>\n"}, f"{LINES}\n</think>\n\n{CLOSING}"),
        (QWEN3, {"thinking": None}, TEXT),
        (TURN + "{% endif %}", {}, TEXT),
        (
            TURN + "{% endif %}",
            {"thinking": Thinking(open="[T]", close="[/T]")},
            f"[T]\n{LINES}\n[/T]\n\n{CLOSING}",
        ),
    ],
)
def test_what_is_taught_is_read_as_verified(template: str, prompts: dict[str, object], taught: str) -> None:
    found = encoder(template, **prompts)
    ids = found.encode_completion(TEXT)
    assert found.show(ids[:-1]) == taught == found.taught(TEXT)
    trace = ENV.check(PROBLEM, read_trace(ENV, found, found.decode(ids), truncated=False))
    assert trace.verified and trace.num_steps == PROBLEM.num_full_steps
    # Cut off in the middle of the thought it has no answer.
    half = found.decode(ids[: len(ids) // 2])
    assert read_trace(ENV, found, half, truncated=True).answer is None


def test_qwen3_is_taught_what_its_template_renders() -> None:
    tokenizer = FAMILIES["qwen3"].tokenizer()
    found = make_encoder(tokenizer, PromptFormat(thinking="auto"))
    answer = Thinking().wrap(TEXT)
    chat = [{"role": "user", "content": PROBLEM.question}, {"role": "assistant", "content": answer}]
    rendered = tokenizer.apply_chat_template(chat, return_dict=False)
    taught = [*found.encode_prompt(PROBLEM), *found.encode_completion(TEXT)]
    assert rendered[: len(taught)] == taught
    assert found.stop_ids[0] == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_marks_that_are_control_tokens_are_taught_as_such() -> None:
    marks = ("<think>", "</think>")
    found = encoder(R1, control=(*CONTROL, *marks))
    ids = found.encode_completion(f"{LINES} <think>\n{CLOSING}")
    close = found.tokenizer.convert_tokens_to_ids("</think>")
    opened = found.tokenizer.convert_tokens_to_ids("<think>")
    assert ids.count(close) == 1 and opened not in ids  # a mark in the data stays text


@pytest.mark.parametrize("control", [CONTROL, (*CONTROL, "<think>", "</think>")])
@pytest.mark.parametrize("template", [QWEN3, R1, TURN + "{% endif %}"])
def test_ignored_lines_are_masked_in_the_thought(template: str, control: tuple[str, ...]) -> None:
    found = encoder(template, control=control)
    first = len(LINES.split("\n")[0])
    kind = TraceKind.FULL
    example = Example(problem=PROBLEM, text=TEXT, ignored=((0, first),), drawn=kind, written=kind)
    (row,) = encode_examples([example], found)
    start = len(found.encode_prompt(PROBLEM))
    taught = zip(row["input_ids"][start:], row["labels"][start:], strict=True)
    masked = [token for token, label in taught if label == IGNORED]
    assert found.show(masked) == LINES[:first]
