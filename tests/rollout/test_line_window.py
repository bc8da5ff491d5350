"""A window over the last lines, and the model that reads through it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rollout.line_window import LineWindow
from tests.kit.causal_models import make

NEWLINE = 9
WINDOW = LineWindow(lines=3, newline_ids=(NEWLINE,))


def test_tokens_of_the_last_lines_are_counted() -> None:
    #     lines of 2, 1, 3 and 2 tokens; the next token is the third of the last one
    ids = [5, NEWLINE, NEWLINE, 5, 5, NEWLINE, 5, 5]
    expected = [2, 3, 1]
    assert WINDOW.read(torch.tensor([ids]), torch.ones(1, len(ids))).tolist() == [expected]
    padded, mask = torch.tensor([[NEWLINE, 5, *ids, NEWLINE]]), torch.tensor([[0, 0, *[1] * len(ids), 0]])
    assert WINDOW.read(padded, mask).tolist() == [expected]
    assert WINDOW.line_numbers(padded, mask)[0, 2:-1].tolist() == [0, 0, 1, 2, 2, 2, 3, 3]
    ended = WINDOW.after(torch.tensor([NEWLINE, 5]), torch.tensor([expected, expected]))
    assert ended.tolist() == [[0, 3, 3], [3, 3, 1]]


def test_a_prefill_and_decode_steps_agree() -> None:
    ids = torch.randint(6, 10, (50, 40), generator=torch.Generator().manual_seed(0))
    sizes = torch.zeros(50, 3, dtype=torch.long)
    for t in range(40):
        sizes = WINDOW.after(ids[:, t], sizes)
        assert torch.equal(sizes, WINDOW.read(ids[:, : t + 1], torch.ones(50, t + 1)))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_what_is_too_far_up_changes_nothing(attention: str) -> None:
    """Each of two layers reads one line further up; the newlines, 3 and 7, stay."""
    model: Any = make("llama-line-window").eval()
    model.set_attn_implementation(attention)
    lines = [[4, 5, 3], [6, 8, 7], [9, 10, 3], [11, 12, 13]]
    rows = [[*lines[0], *lines[1], *lines[2], *lines[3]] for _ in range(5)]
    for row, token in enumerate((0, 3, 6, 10), 1):  # in each line
        rows[row][token] = 15
    ids = torch.tensor(rows)
    with torch.no_grad():
        logits = model(ids).logits[:, -1]
        changed = (logits[1:] - logits[0]).abs().amax(1)
        assert changed[0] < 1e-5 and (changed[1:] > 1e-3).all()
        padded, mask = torch.cat([torch.zeros_like(ids[:, :2]), ids], 1), torch.ones(5, 14, dtype=torch.long)
        mask[:, :2] = 0
        assert torch.allclose(model(padded, attention_mask=mask).logits[:, -1], logits, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs_embeds": torch.zeros(1, 2, 32)}, "got no token ids"),
        ({"input_ids": torch.tensor([[4, 5]]), "attention_mask": torch.ones(1, 1, 2, 2)}, "a mask of 4 axes"),
    ],
)
def test_lines_that_it_cannot_know_are_refused(given: dict[str, torch.Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}, but the lines that a token attends to follow from"):
        make("llama-line-window")(**given, position_ids=torch.tensor([[0, 1]]))


@torch.no_grad()
def test_after_a_cache_the_mask_is_the_window() -> None:
    model: Any = make("llama-line-window").eval()
    ids = torch.tensor([[4, 5, 3, 6, 7, 8, 9]])
    position = model.config.positions.read(ids, torch.ones_like(ids))
    last = model(
        ids[:, -1:],
        attention_mask=torch.tensor([[0, 0, 0, 1, 1, 1, 1]]),
        position_ids=position[:, -1:],
        past_key_values=model(ids[:, :-1], use_cache=True).past_key_values,
    )
    assert torch.allclose(last.logits[0, -1], model(ids).logits[0, -1], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("num", "mask", "said"),
    [(1, None, "got no mask after a KV"), (2, torch.ones(1, 7), "got several tokens with a mask of 2 axes")],
)
def test_after_a_cache_a_mask_that_cannot_be_the_window_is_refused(
    num: int, mask: torch.Tensor | None, said: str
) -> None:
    model: Any = make("llama-line-window").eval()
    ids = torch.tensor([[4, 5, 3, 6, 7, 8, 9]])
    cache = model(ids[:, :-num], use_cache=True).past_key_values
    with pytest.raises(ValueError, match=said):
        model(
            ids[:, -num:],
            attention_mask=mask,
            position_ids=torch.arange(7 - num, 7)[None],
            past_key_values=cache,
        )
