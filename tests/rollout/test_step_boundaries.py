"""Boundaries of steps in tokens, for tokens that stop at a line break, hold one, or span two lines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from envs import Split, Thinking, make_example, parse_trace
from rl.models.tiny import make_tokenizer
from rollout.encoder import Encoder, make_encoder
from rollout.prompt_format import PromptFormat
from rollout.read_trace import read_trace
from rollout.step_boundaries import step_boundaries, step_spans
from tests.kit.byte_tokenizer import byte_tokenizer

TEXT = "1+1=2\n2+2=4\nThus, the answer is 4."


def encoder_of(pieces: Sequence[str]) -> tuple[Encoder, list[int]]:
    """An encoder with one token for each piece, and the ids of the pieces with the stop token."""
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys([*pieces, "<|end|>"]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|end|>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken("<|end|>", normalized=False)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    return make_encoder(fast), [vocabulary[piece] for piece in [*pieces, "<|end|>"]]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # A break of its own, and at the end of a token, belongs to the line before it.
        (("1+1=2", "\n", "2+2=4", "\n", "Thus, the answer is 4."), [(0, True), (2, True), (4, True)]),
        (("1+1", "=2\n", "2+", "2=4\n", "Thus, ", "the answer is 4."), [(0, True), (2, True), (4, True)]),
        # With the start of the next line in its token, it is left to the continuation; the line is whole.
        (("1+1=2", "\n2+", "2=4", "\nThus, ", "the answer is 4."), [(0, True), (1, True), (3, True)]),
        # A token over two lines is in neither prefix: the earlier line is cut.
        (("1+1=", "2\n2", "+2=4\nThus, ", "the answer is 4."), [(0, True), (1, False), (2, False)]),
        (("1+1=2\n2+2=4\nThus, the answer is 4.",), [(0, True), (0, False), (0, False)]),
    ],
)
def test_the_rule_at_a_line_break(pieces: tuple[str, ...], expected: list[tuple[int, bool]]) -> None:
    assert "".join(pieces) == TEXT
    encoder, ids = encoder_of(pieces)
    for stopped in (ids, ids[:-1]):
        found = step_boundaries(encoder, stopped, parse_trace(TEXT))
        assert [(one.tokens, one.whole) for one in found] == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("1+", "1=2\n", "2+", "2=4", "\nThus, the answer is 4."), ((0, 2), (2, 4))),
        (
            ("1+1=", "2\n2", "+2=4\nThus, ", "the answer is 4."),
            ((0, 1), (1, 2)),
        ),  # of two lines: of the later one
        (("1+1=2\n2+2=4\nThus, the answer is 4.",), ((0, 0), (0, 0))),
    ],
)
def test_each_token_belongs_to_one_step_at_most(
    pieces: tuple[str, ...], expected: tuple[tuple[int, int], ...]
) -> None:
    encoder, ids = encoder_of(pieces)
    assert step_spans(encoder, ids, parse_trace(TEXT)) == expected


def test_the_last_step_of_a_text_without_more_has_the_tokens_up_to_its_end() -> None:
    encoder, ids = encoder_of(("1+1=2\n", "2+2", "=4"))
    trace = parse_trace("1+1=2\n2+2=4", truncated=True)
    assert step_spans(encoder, ids, trace) == step_spans(encoder, ids[:-1], trace) == ((0, 1), (1, 3))
    assert step_spans(encoder, [], parse_trace("")) == ()


def test_a_text_that_ends_with_a_step_has_no_boundary_after_it() -> None:
    encoder, ids = encoder_of(("1+1=2", "\n", "2+2", "\n"))
    for cut, expected in ((3, [0, 2]), (4, [0, 2])):
        trace = parse_trace("1+1=2\n2+2\n"[: 9 + (cut == 4)], truncated=True)
        assert [one.tokens for one in step_boundaries(encoder, ids[:cut], trace)] == expected
    assert step_boundaries(encoder, [], parse_trace("")) == ()


def test_the_prefill_is_before_every_token() -> None:
    """The first line begins in the prefill."""
    encoder, ids = encoder_of(("+1=2\n", "2+2=4\n", "Thus, the answer is 4."))
    encoder = replace(encoder, prompts=PromptFormat(prefill="1+"))
    trace = parse_trace("1++1=2\n2+2=4\nThus, the answer is 4.")
    assert [one.tokens for one in step_boundaries(encoder, ids, trace)] == [0, 1, 2]


def test_half_a_character_of_the_next_step_is_left_out() -> None:
    encoder = make_encoder(byte_tokenizer())
    text = "a→b\n→c\nThus, the answer is →."
    found = step_boundaries(encoder, encoder.encode(text), parse_trace(text))
    assert [one.tokens for one in found] == [0, len("a→b\n".encode()), len("a→b\n→c\n".encode())]


def test_marks_of_a_thought_belong_to_the_step_before_them() -> None:
    encoder = replace(make_encoder(byte_tokenizer()), thinking=Thinking())
    text = "<think>\nwest. right\nnorth\n</think>\n\nThus, the answer is north."
    trace = read_trace(make_example("directional"), encoder, text, truncated=False)
    found = step_boundaries(encoder, encoder.encode(text), trace)
    starts = [text.index("west"), text.index("north\n"), text.index("</think>")]
    assert [one.tokens for one in found] == starts


@pytest.mark.parametrize("name", ["addition", "countdown", "graph_search"])
def test_prefixes_end_where_lines_do(name: str) -> None:
    """For demonstrations of the tasks: the text of each prefix is that of the lines before it."""
    env = make_example(name)
    encoder, rng = make_encoder(make_tokenizer(env)), random.Random(0)
    for index in range(20):
        problem = env.problem(Split.TRAIN, index)
        found = env.detour_trace(problem, env.error_kinds[:1], rng)
        lines = env.full_trace(problem) if found is None else found.lines
        ids = encoder.encode_completion(env.demonstrate(lines, problem.answer))
        trace = env.parse(encoder.decode(ids))
        boundaries = step_boundaries(encoder, ids, trace)
        assert len(boundaries) == len(lines) + 1 and all(one.whole for one in boundaries)
        for place, boundary in enumerate(boundaries):
            assert encoder.show(ids[: boundary.tokens]) == "".join(f"{line}\n" for line in lines[:place])
