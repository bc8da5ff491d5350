"""Sampler and learner give the same log-probabilities in every family of the library, or refuse the model."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from rl.grpo.trainer import StrideTrainer
from rollout.engines.cache_size import CallSize, cache_bytes
from rollout.engines.probe import DecodingError
from rollout.engines.spec import EngineSpec
from rollout.engines.states import cache_argument
from rollout.types import Completion, Prompt, Sampling
from tests.kit.causal_models import PAD, STOP, full_forward
from tests.kit.model_families import ATTENTION, REFUSED, STATES, make_family

PROMPTS = [
    Prompt(ids=(3, 4, 5), seeds=(11, 12, 13)),
    Prompt(ids=(6, 7, 8, 9, 10, 11, 12), seeds=(21,)),
    Prompt(ids=(2,), seeds=(31, 32), limits=(3, 20)),
    Prompt(ids=(9, 8, 7, 6, 5), seeds=(41, 42, 43)),
]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=16)


def make_engine(model: Any, dtype: torch.dtype = torch.float32) -> Any:
    return EngineSpec(
        model=model,
        stop_ids=(STOP,),
        pad_id=PAD,
        dtype=dtype,
        device="cpu",
        threads=1,
        max_rows=4,  # so that rows wait, and are admitted beside older ones
        cuda_graphs=False,
    ).build()


def learner_logprobs(model: Any, prompt: Prompt, completion: Completion) -> torch.Tensor:
    """As `StrideTrainer` computes them while it trains, from a row with padding on both sides."""
    ids = torch.tensor([[PAD, *prompt.ids, *completion.ids, PAD]])
    mask = torch.ones_like(ids)
    mask[:, [0, -1]] = 0
    trainer: Any = SimpleNamespace(accelerator=SimpleNamespace(autocast=nullcontext))
    logps, _, _ = StrideTrainer._get_per_token_logps_and_entropies(
        trainer, model.train(), ids, mask, len(completion.ids) + 1
    )
    return logps[0, :-1].detach()


@pytest.mark.parametrize("family", [*ATTENTION, *STATES])
def test_sampler_and_learner_agree_with_a_full_pass(family: str) -> None:
    model = make_family(family)
    groups = make_engine(model).generate(PROMPTS, SAMPLING)
    sampled = [(prompt, c) for prompt, group in zip(PROMPTS, groups, strict=True) for c in group]
    assert len({len(completion.ids) for _, completion in sampled}) > 1  # rows left at different times
    with torch.no_grad():
        full = [full_forward(model.eval(), prompt.ids, completion.ids) for prompt, completion in sampled]
    add_fused_lm_head(model)
    for (prompt, completion), expected in zip(sampled, full, strict=True):
        assert (torch.tensor(completion.logprobs) - expected).abs().max() < 1e-5
        assert (learner_logprobs(model, prompt, completion) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("family", STATES)
def test_tokens_do_not_depend_on_the_rows_in_the_batch(family: str) -> None:
    engine = make_engine(make_family(family))
    together = engine.generate(PROMPTS, SAMPLING)
    for prompt, group in zip(PROMPTS, together, strict=True):
        assert [c.ids for c in engine.generate([prompt], SAMPLING)[0]] == [c.ids for c in group]


@pytest.mark.parametrize("family", ["mamba2", "qwen3_next", "falcon_h1", "lfm2"])
def test_the_memory_of_states_is_stated_in_advance(family: str) -> None:
    """States of four rows, and keys and values where a layer has them."""
    engine = make_engine(make_family(family))
    held: list[int] = []
    forward = engine.model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        cache = kwargs[cache_argument(engine.model)]
        states = [s for layer in cache.layers for of in _states(layer) for s in of.values() if s is not None]
        held.append(sum(state.nbytes for state in states))
        return output

    functools.update_wrapper(watched, forward)
    engine.model.forward = watched
    engine.generate([Prompt(ids=(3, 4, 5), seeds=(1, 2, 3, 4))], SAMPLING)
    taken = max(held) + engine._buffers.nbytes
    stated = cache_bytes(
        make_family(family), [CallSize(1, 4, 16)], prompt_tokens=3, max_rows=4, dtype=torch.float32
    )
    assert taken == stated


def _states(layer: Any) -> list[dict[int, torch.Tensor | None]]:
    return [getattr(layer, name, {}) for name in ("conv_states", "recurrent_states")]


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_that_cannot_be_decoded_is_refused_in_one_line(family: str) -> None:
    with pytest.raises(DecodingError) as refused:
        make_engine(make_family(family))
    message = str(refused.value)
    assert message.startswith("the embedded engine ") and "set rollout.engine to 'vllm'" in message
    assert "\n" not in message and refused.value.exit_code == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_wrong_log_probabilities_are_noticed(dtype: torch.dtype) -> None:
    """RecurrentGemma keeps its state in the model, where rows of other prompts leave theirs."""
    with pytest.raises(DecodingError, match=r"decodes RecurrentGemmaForCausalLM wrongly: .* by 0\.[1-9]"):
        make_engine(make_family("recurrent_gemma"), dtype)
