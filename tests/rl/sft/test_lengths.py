"""Demonstrations against the length limit of completions and the model's context, before a run and in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from configs import ConfigError
from configs.schema.config import PolicyConfig, WarmStartConfig
from envs import Env, make_env
from rl.models.policy import Policy, load_policy
from rl.sft.encode import encode_phases
from rl.sft.examples import Phase, make_examples
from rl.sft.lengths import check_demonstrations
from tests.kit.tiny_policy import TINY, tiny_policy

ENV = make_env("directional", {"train": ["2", "6"], "ood_easy": ["9"], "ood_hard": ["10"]})
FULL = WarmStartConfig(skipped_frac=0.0, num_problems=100, batch_size=4, updates=5)


def lengths(policy: Policy, env: Env[object]) -> list[int]:
    examples = make_examples(env, FULL, num_problems=FULL.num_problems, seed=0)
    return [len(policy.encoder.encode_completion(example.text)) for example in examples]


def check(policy: Policy, *envs: Env[object], limit: int, context: int | None = None) -> str:
    return check_demonstrations(envs, FULL, policy.encoder, seed=0, limit=limit, context=context)


def test_what_is_cut_off_is_refused_where_it_is_all_and_said_where_it_is_many() -> None:
    policy = tiny_policy(ENV)
    tokens = sorted(lengths(policy, ENV))
    least, most = tokens[0], tokens[-1]
    with pytest.raises(
        ConfigError, match=f"is {least - 1}, and all of the 100 demonstrations tried are longer"
    ):
        check(policy, ENV, limit=least - 1)
    over = sum(length > least for length in tokens)
    assert 5 < over < 100
    assert f"is {least}, and {over} of the 100 demonstrations tried ({over} %) are longer" in check(
        policy, ENV, limit=least
    )
    assert f"the longest has {most} tokens" in check(policy, ENV, limit=most - 1)
    assert check(policy, ENV, limit=most) == ""
    few = tokens[-6]  # at most 5 of 100 are longer
    assert check(policy, ENV, limit=few) == ""


def test_it_is_the_task_of_grpo_whose_completions_are_cut_off() -> None:
    """Phases of a curriculum may be as long as the model reads."""
    policy = tiny_policy(ENV)
    short = make_env("directional", {"train": ["1"], "ood_easy": ["9"], "ood_hard": ["10"]})
    limit = max(lengths(policy, short))
    assert check(policy, ENV, short, limit=limit) == ""
    assert "demonstrations tried" in check(policy, short, ENV, limit=limit + 20)


def test_no_demonstration_is_longer_than_the_context() -> None:
    policy = tiny_policy(ENV)
    examples = make_examples(ENV, FULL, num_problems=100, seed=0)
    longest = max(
        len(policy.encoder.encode_prompt(e.problem)) + len(policy.encoder.encode_completion(e.text))
        for e in examples
    )
    phases = [Phase(examples=examples, updates=5)]
    for context in (longest, None):
        check(policy, ENV, limit=999, context=context)
        encode_phases(phases, policy.encoder, batch_size=4, seed=0, context=context)
    message = f"has {longest} tokens with its prompt, which is over the model's context of {longest - 1} tokens"
    with pytest.raises(ConfigError, match=message):
        check(policy, ENV, limit=999, context=longest - 1)
    # Later demonstrations than those tried before the run.
    with pytest.raises(ConfigError, match=message):
        encode_phases(phases, policy.encoder, batch_size=4, seed=0, context=longest - 1)


def test_the_context_of_a_model_with_absolute_positions(tmp_path: Path) -> None:
    policy = tiny_policy(ENV)
    assert policy.context == TINY.max_positions
    small = GPT2Config(n_positions=72, n_embd=16, n_layer=1, n_head=2, vocab_size=len(policy.tokenizer))
    GPT2LMHeadModel(small).save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    assert load_policy(PolicyConfig(model=str(tmp_path)), ENV, seed=0).context == 72
