"""Column positions: each distance by which a trace of addition copies is the same in every column."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from configs.schema.config import PolicyConfig
from envs import Problem, Split, make_env
from rl.models.policy import load_policy
from rollout.column_positions import ColumnPositions
from rollout.engines.embedded import TorchEngine
from rollout.types import Prompt, Sampling
from tests.kit.causal_models import full_forward
from tests.kit.tiny_policy import TINY

ENV = make_env("addition")
POLICY = load_policy(PolicyConfig(tiny=TINY.model_copy(update={"positions": "columns"})), ENV, seed=0)
RULE: Any = POLICY.model.config.positions
STRIDE = TINY.line_stride
HALF = STRIDE // 2


def sum_of(first: int, second: int) -> Problem:
    """A problem of one's own."""
    question = f"Add {first} and {second}"
    drawn = ENV.problem(Split.TRAIN, 0)
    return replace(drawn, question=question, prompt=f"{question}\nAnswer:\n", answer=str(first + second))


def text_of(first: int, second: int) -> tuple[list[str], list[int]]:
    """The pieces of a sum's prompt and full trace, and their positions."""
    problem = sum_of(first, second)
    ids = [
        *POLICY.encoder.encode_prompt(problem),
        *POLICY.encoder.encode_completion(ENV.demonstrate(ENV.full_trace(problem), problem.answer)),
    ]
    positions = RULE.read(torch.tensor([ids]), torch.ones(1, len(ids)))[0].tolist()
    return [POLICY.tokenizer.decode([token]) for token in ids], positions


def test_the_example_by_hand() -> None:
    pieces, positions = text_of(345, 78)
    places = [divmod(position, STRIDE) for position in positions]
    end = pieces.index("\n")
    assert pieces[:end] == ["Add ", "3", "4", "5", " ", "and ", "7", "8"]
    words = [(0, HALF), (0, HALF + 2), (0, HALF + 3), (0, HALF + 5)]
    first, second = [(2, HALF + 1), (1, HALF + 1), (0, HALF + 1)], [(1, HALF + 4), (0, HALF + 4)]
    assert places[: end + 1] == [words[0], *first, words[1], words[2], *second, words[3]]
    assert places[end + 1 : end + 4] == [(1, 0), (1, HALF), (1, HALF + 1)]  # Answer:
    step = pieces.index("1", end)  # "1. 5 + 8 + 0 = 13, write 3, carry 1": a digit of a step moves nothing
    assert places[step : step + 17] == [(2, place) for place in range(17)]
    assert places[step + 17] == (3, 0)
    closing = pieces.index("Thus")
    assert pieces[closing + 5 : closing + 9] == ["4", "2", "3", "."]
    assert places[closing : closing + 5] == [(5, 0), *[(5, HALF + n) for n in range(4)]]
    assert places[closing + 5 : closing + 9] == [(5, HALF + 4), (4, HALF + 4), (3, HALF + 4), (2, HALF + 4)]


@pytest.mark.parametrize(
    ("first", "second"),
    [(345, 78), (7, 9999999), (12345678, 87654321), (5, 4), (123456789012, 1), (10**99, 10**99 - 1)],
)
def test_what_is_copied_stands_at_one_distance_in_every_column(first: int, second: int) -> None:
    """A token is predicted where the one before it stands."""
    pieces, positions = text_of(first, second)
    starts = [n + 1 for n, piece in enumerate(pieces) if piece == "\n"]
    digits = [n for n in range(starts[0]) if pieces[n].isdigit()]
    operands = digits[: len(str(first))][::-1], digits[len(str(first)) :][::-1]
    written = []
    for column, start in enumerate(starts[1:-1]):
        written.append(pieces.index("write ", start) + 1)
        dot = pieces.index(". ", start)  # behind the number of the line, which has up to three digits
        for operand, target in zip(operands, (dot + 1, dot + 3), strict=True):
            if column < len(operand):
                assert pieces[target] == pieces[operand[column]]
                distance = positions[target - 1] - positions[operand[column]]
                assert distance == 2 * STRIDE - HALF + (0 if operand is operands[0] else -1)
    answer = pieces.index("is ", starts[-1]) + 1
    for n, source in enumerate(reversed(written)):
        assert pieces[answer + n] == pieces[source]
        columns = positions[answer + n - 1] // STRIDE - positions[source] // STRIDE
        assert columns == (2 if n else 1)  # the first digit follows a word, which moves nothing


def test_a_prefill_and_decode_steps_agree_and_padding_takes_no_place() -> None:
    rule = ColumnPositions(stride=16, newline_ids=(9,), digit_ids=(5, 6))
    ids = torch.randint(4, 10, (50, 40), generator=torch.Generator().manual_seed(0))
    ids[:, 7] = 9  # the first line is read whole
    whole = rule.read(ids, torch.ones_like(ids))
    position = whole[:, 7]
    for t in range(8, 40):
        position = rule.after(ids[:, t - 1], position)
        assert torch.equal(position, whole[:, t])
    mask = torch.ones(50, 46, dtype=torch.long)
    mask[:, :4] = mask[:, -2:] = 0
    padded = torch.full((50, 46), 5)
    padded[:, 4:-2] = ids
    assert torch.equal(rule.read(padded, mask)[:, 4:-2], whole)


def test_sampler_and_learner_agree() -> None:
    prompts = [
        Prompt(ids=POLICY.encoder.encode_prompt(sum_of(first, 4083)), seeds=(1, 2)) for first in (7, 25103)
    ]
    engine = TorchEngine(
        POLICY.model, stop_ids=POLICY.encoder.stop_ids, pad_id=POLICY.encoder.pad_id, threads=1, max_rows=None
    )
    newlines = 0
    for prompt, group in zip(
        prompts, engine.generate(prompts, Sampling(temperature=1.0, max_new_tokens=60)), strict=True
    ):
        for completion in group:
            newlines += sum(token in RULE.newline_ids for token in completion.ids)
            with torch.no_grad():
                expected = full_forward(POLICY.model, tuple(prompt.ids), completion.ids)
            assert torch.allclose(torch.tensor(completion.logprobs), expected, atol=1e-4)
    assert newlines > 2  # random weights write all tokens alike, so lines end and digits follow digits
