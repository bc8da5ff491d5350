"""Line positions, and the model that reads at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rollout.positions import InOrder, LinePositions
from tests.kit.causal_models import make

NEWLINE = 9
LINES = LinePositions(stride=4, newline_ids=(NEWLINE,))


def test_lines_begin_at_multiples_of_the_stride() -> None:
    #      a line of 2, one of 6 that runs past a multiple, two empty ones, and the rest
    ids = [5, NEWLINE, 5, 5, 5, 5, 5, NEWLINE, NEWLINE, NEWLINE, 5, 5]
    expected = [0, 1, 4, 5, 6, 7, 8, 9, 12, 16, 20, 21]
    assert LINES.read(torch.tensor([ids]), torch.ones(1, len(ids))).tolist() == [expected]
    padded = torch.tensor([[NEWLINE, NEWLINE, *ids, NEWLINE]])
    mask = torch.tensor([[0, 0, *[1] * len(ids), 0]])
    assert LINES.read(padded, mask)[0, 2:-1].tolist() == expected  # padding takes no place, whatever it is


@pytest.mark.parametrize("rule", [LINES, InOrder()])
def test_a_prefill_and_decode_steps_agree(rule: LinePositions | InOrder) -> None:
    ids = torch.randint(6, 10, (50, 40), generator=torch.Generator().manual_seed(0))
    whole = rule.read(ids, torch.ones_like(ids))
    position = torch.zeros(50, dtype=torch.long)
    for t in range(40):
        assert torch.equal(position, whole[:, t])
        position = rule.after(ids[:, t], position)


def test_padding_and_a_missing_mask_change_nothing() -> None:
    model = make("llama-lines").eval()
    ids = torch.tensor([[4, 5, 3, 6, 8, 9, 10, 11, 7, 12]])
    padded, mask = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], 1), torch.tensor([[0] * 3 + [1] * 10])
    with torch.no_grad():
        alone, given = model(ids).logits, model(ids, position_ids=torch.arange(10)[None]).logits
        assert torch.allclose(model(padded, attention_mask=mask).logits[:, 3:], alone, atol=1e-5)
    assert not torch.allclose(alone, given, atol=1e-2)


def go_on(model: Any) -> None:
    cache = model(torch.tensor([[4, 5]]), use_cache=True).past_key_values
    model(torch.tensor([[6]]), past_key_values=cache)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (go_on, "got a KV cache and no position_ids"),
        (lambda model: model(inputs_embeds=torch.zeros(1, 2, 32)), "got no token ids and no position_ids"),
        (lambda model: model.generate(torch.tensor([[4, 5]])), "use Stride's engine"),
    ],
)
def test_what_it_cannot_know_is_refused(use: Callable[[Any], None], said: str) -> None:
    with pytest.raises((ValueError, NotImplementedError), match=said):
        use(make("llama-lines").eval())
