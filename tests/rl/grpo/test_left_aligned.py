"""Rows moved to the left edge, by hand."""

from __future__ import annotations

import torch

from rl.grpo.left_aligned import align_left


def test_by_hand() -> None:
    """Prompts of 1 and 3 tokens, completions of 3 and 1: both rows have 4 tokens, so 2 of 6 columns go."""
    ids = torch.tensor([[0, 0, 11, 21, 22, 23], [12, 13, 14, 24, 0, 0]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    rows = align_left(ids, mask, 3)
    assert rows.ids_BW.tolist() == [[11, 21, 22, 23], [12, 13, 14, 24]]
    assert rows.labels_BW.tolist() == [[-100, 21, 22, 23], [-100, -100, -100, 24]]
    # Output j predicts token j + 1: the first row's completion starts at token 1, the second one's at token 3.
    assert rows.index_BT[0].tolist() == [0, 1, 2]
    assert rows.index_BT[1, 0].item() == 2


def test_outputs_of_padding_stay_in_range() -> None:
    rows = align_left(torch.tensor([[5, 6, 0, 0, 0]]), torch.tensor([[1, 1, 0, 0, 0]]), 4)
    assert rows.ids_BW.tolist() == [[5, 6]]
    assert rows.index_BT.tolist() == [[0, 0, 0, 0]]  # the pass has one output that predicts a token
