"""Pairs of right and wrong traces: written by the environment, sampled, rectified; and how often edit distance
finds their key lines."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from configs.schema.key_steps import KeyStepsConfig
from envs import Env, Split, Status, parse_trace
from envs.tasks.directional import Directional
from rl.key_steps.agreement import Agreement, agreement_of, agreements, both_keys, describe_agreement
from rl.key_steps.duals import Dual, Duals, Lack, Source, make_duals, of_samples, split_problems
from rl.key_steps.responses import Response, write_response
from rl.models.tiny import make_tokenizer
from rollout.encoder import Encoder, make_encoder
from rollout.types import RolloutGroup
from tests.kit.directional import FULL, TURNS
from tests.kit.rollouts import make_group, make_sample, make_score

RIGHT = f"{FULL}Thus, the answer is south."


@pytest.fixture(scope="module")
def env() -> Directional:
    return Directional()


@pytest.fixture(scope="module")
def encoder(env: Directional) -> Encoder:
    return make_encoder(make_tokenizer(env))


def sampled(env: Env[object], encoder: Encoder, *texts: str, truncated: bool = False) -> RolloutGroup:
    traces = [env.check(TURNS, parse_trace(text, truncated=truncated)) for text in texts]
    samples = [
        make_sample(make_score(0.0), trace=trace, text=text, ids=encoder.encode_completion(text))
        for trace, text in zip(traces, texts, strict=True)
    ]
    return make_group(TURNS, samples)


def text_of(encoder: Encoder, response: Response) -> str:
    return encoder.decode(response.ids)


# ---- responses ----


def test_tokens_know_their_lines(env: Directional, encoder: Encoder) -> None:
    found = write_response(env, encoder, TURNS, FULL.strip().split("\n"), "south")
    by_line = ["", "", "", ""]
    for piece, line in zip(encoder.pieces(found.ids[:-1]), found.lines[:-1], strict=True):
        by_line[line] += piece
    assert by_line == ["west. right, around\n", "north. around\n", "south\n", "Thus, the answer is south."]
    assert found.ids[-1] == encoder.stop_ids[0] and found.lines[-1] == 3 and found.num_lines == 4
    assert found.trace.verified


# ---- pairs ----


def test_the_environment_writes_a_pair_for_each_problem(env: Directional, encoder: Encoder) -> None:
    config = KeyStepsConfig(num_problems=30, environment_frac=1.0)
    found = make_duals(env, encoder, config, range(30), [], seed=0)
    assert [pair.problem.index for pair in found.pairs] == [*range(30)] and not found.lacking
    for pair in found.pairs:
        assert pair.source is Source.CORRUPTED
        assert pair.right.trace.verified and pair.wrong.trace.correct is False
        assert pair.key_lines is not None
        right, wrong = pair.key_lines
        first = next(at for at, step in enumerate(pair.wrong.trace.steps) if step.verdict == "invalid")
        assert right == wrong == first  # the same place: the lines before it are the same
    again = make_duals(env, encoder, config, range(30), [], seed=0)
    other = make_duals(env, encoder, config, range(30), [], seed=1)
    assert again.pairs == found.pairs != other.pairs


def test_kinds_of_mistakes_can_be_chosen(encoder: Encoder) -> None:
    env = Directional({"train": [1, 2, 3], "ood_easy": [4], "ood_hard": [5]})
    config = KeyStepsConfig(environment_frac=1.0, mistakes={"lost_action": 1.0})
    found = make_duals(env, encoder, config, range(80), [], seed=0)
    assert all(pair.wrong.num_lines == pair.right.num_lines - 1 for pair in found.pairs)
    lone = [env.problem(Split.TRAIN, index).num_full_steps == 1 for index in range(80)]  # nothing to lose
    assert found.lacking == Counter({Lack.MISTAKE: sum(lone)}) and any(lone)
    assert found.describe() == (
        f"{80 - sum(lone)} dual traces: {80 - sum(lone)} corrupted by the environment; "
        f"{sum(lone)} problems have none: no mistake fits them ({sum(lone)})"
    )


def test_the_nearest_right_and_wrong_samples_are_paired(env: Directional, encoder: Encoder) -> None:
    far = "east. right, around\nsouth. around\nnorth\nThus, the answer is north."
    near = "west. right, around\nnorth. around\neast\nThus, the answer is east."
    skipped = "north. around\nsouth\nThus, the answer is south."
    found = of_samples(env, encoder, sampled(env, encoder, far, RIGHT, near, skipped, near))
    assert isinstance(found, Dual) and found.source is Source.SAMPLED
    assert (text_of(encoder, found.right), text_of(encoder, found.wrong)) == (RIGHT, near)
    assert found.key_lines == (2, 2)
    assert found.right.ids == encoder.encode_completion(RIGHT)


def test_a_wrong_sample_is_rectified_where_none_is_right(env: Directional, encoder: Encoder) -> None:
    """Its lines before the fault stay, a detour among them, and the environment goes on."""
    wrong = (
        "east. right, around\n<backtrack> 0\nwest. right, around\neast. around\nwest\nThus, the answer is west."
    )
    group = sampled(env, encoder, wrong)
    found = of_samples(env, encoder, group)
    assert isinstance(found, Dual) and found.source is Source.RECTIFIED
    right = f"east. right, around\n<backtrack> 0\n{RIGHT}"
    assert text_of(encoder, found.right) == right and found.right.trace.verified
    assert found.key_lines == (3, 3)
    assert of_samples(env, encoder, group, rectify=False) is Lack.RIGHT


def test_what_is_neither_right_nor_wrong_makes_no_pair(env: Directional, encoder: Encoder) -> None:
    lucky = "east. right, around\nnorth. around\nsouth\nThus, the answer is south."  # right by two wrongs
    assert of_samples(env, encoder, sampled(env, encoder, RIGHT, lucky, "left\n")) is Lack.WRONG
    cut = sampled(env, encoder, "east. right", truncated=True)
    assert cut.samples[0].trace.status is Status.TRUNCATED
    assert of_samples(env, encoder, cut) is Lack.WRONG


def test_without_checked_steps_only_answers_are_compared(encoder: Encoder) -> None:
    class Counted(Directional):
        checks_steps = False

    env = Counted()
    odd = "left\nThus, the answer is south."
    found = of_samples(env, encoder, sampled(env, encoder, odd, "left\nThus, the answer is east."))
    assert isinstance(found, Dual) and found.key_lines is None
    assert text_of(encoder, found.right) == odd
    alone = sampled(env, encoder, "left\nThus, the answer is east.")
    assert of_samples(env, encoder, alone) is Lack.RIGHT
    assert agreements([found]) == (Agreement(), Agreement()) and not describe_agreement([found])


def test_problems_are_split_by_the_share() -> None:
    half = split_problems(range(400), KeyStepsConfig(environment_frac=0.5), seed=0)
    assert sorted(half[0] + half[1]) == [*range(400)] and 150 < len(half[0]) < 250
    assert split_problems(range(9), KeyStepsConfig(environment_frac=1.0), seed=0) == ([*range(9)], [])
    assert split_problems(range(9), KeyStepsConfig(environment_frac=0.0), seed=0) == ([], [*range(9)])


def test_problems_without_a_pair_are_described() -> None:
    found = Duals(pairs=[], lacking=Counter({Lack.RIGHT: 2, Lack.WRONG: 1200}))
    assert found.describe() == (
        "0 dual traces; 1,202 problems have none: no sample is wrong (1,200), no sample is right (2)"
    )


# ---- key lines ----


def test_agreement_by_hand(env: Directional, encoder: Encoder) -> None:
    """The first turn is wrong, so every heading after it is too: edit distance marks each line."""
    wrong = ["east. right, around", "south. around", "north"]
    pair = Dual(
        problem=TURNS,
        right=write_response(env, encoder, TURNS, FULL.strip().split("\n"), "south"),
        wrong=write_response(env, encoder, TURNS, wrong, "north"),
        source=Source.CORRUPTED,
        key_lines=(0, 0),
    )
    right, theirs = agreements([pair])
    assert (
        (right.traces, right.hits, right.found_lines)
        == (1, 1, 4)
        == (theirs.traces, theirs.hits, theirs.found_lines)
    )
    figures = right.figures()
    assert figures["line_precision"] == 0.25 and figures["line_recall"] == 1.0
    assert right.tokens == len(pair.right.ids) and right.key_tokens == both_keys(pair)[0].sum()
    assert describe_agreement([pair]) == (
        "edit distance finds 100.0 % of the key lines of right traces (precision 25.0 %) and 100.0 % of the "
        "key lines of wrong traces (precision 25.0 %); "
        f"{100 * right.key_tokens / right.tokens:.1f} % of right tokens are key"
    )


def test_a_key_line_without_a_key_token_is_missed(env: Directional, encoder: Encoder) -> None:
    response = write_response(env, encoder, TURNS, FULL.strip().split("\n"), "south")
    keys = [line == 2 for line in response.lines]
    found = agreement_of(response, np.array(keys), 1)
    assert (found.hits, found.found_lines, found.hit_tokens) == (0, 1, 0)
    assert found.figures()["token_recall"] == 0.0
    nothing = agreement_of(response, np.zeros(len(keys), dtype=np.bool_), 1)
    assert "line_precision" not in nothing.figures() and nothing.figures()["line_recall"] == 0.0
