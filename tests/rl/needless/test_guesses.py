"""Guesses at needless steps, by hand, and how they are counted."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from rl.needless.guesses import RULES, TraceSigns, guess
from rl.needless.signs import ending_logprobs, token_entropies
from rl.needless.table import area_under_curve, rule_rows
from tests.kit.causal_models import make

SIGNS = TraceSigns(
    lines=("2 + 3 = 5", "5 + 7 = 12", "12 = 12", "so 12"),
    answer="12",
    confidences=(-0.2, -0.9, -0.1, -0.4),
    entropies=(0.5, 2.0, 0.1, 0.3),
    answer_logprobs=(-5.0, -4.0, -1.0, -1.0, -1.5),
    values=(0.25, 0.5, 1.0, 1.0, None),
)


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("sas", [False, True, False, True]),  # ceil(0.3 * 4) = 2 of the lowest confidence
        ("entropy", [True, False, True, True]),  # floor(0.8 * 4) = 3 of the lowest entropy
        ("swap", [False, False, True, True]),  # the answer got no likelier
        ("decs", [False, False, True, True]),  # after "5 + 7 = 12"
        ("monte_carlo", [False, False, True, None]),  # the last boundary was not continued
        ("all", [True] * 4),
    ],
)
def test_what_each_rule_calls_needless(name: str, called: list[bool | None]) -> None:
    assert [one and one.called for one in guess(name, SIGNS)] == called


def test_an_answer_within_a_longer_number_is_not_stated() -> None:
    signs = TraceSigns(
        lines=("12 + 100 = 112", "112 + 0 = 112"),
        answer="12",
        confidences=(0.0, 0.0),
        entropies=(0.0, 0.0),
        answer_logprobs=(0.0,) * 3,
        values=(None,) * 3,
    )
    assert [one and one.called for one in guess("decs", signs)] == [False, True]  # "12 + ..." states it
    assert not any(
        one and one.called for one in guess("decs", signs.__class__(**{**fields(signs), "answer": "1"}))
    )


def fields(signs: TraceSigns) -> dict[str, object]:
    return {name: getattr(signs, name) for name in TraceSigns.__dataclass_fields__}


def test_precision_recall_and_ranking_by_hand() -> None:
    """Of 4 known lines 2 are needless. `sas` calls 3, 2 of them rightly: 2/3 and 2/2; wrong lines are left
    out."""
    rows = [(0, "wasted", 2.0, 1), (0, "needed", 1.0, 1), (1, "skippable", 1.0, 1), (1, "needed", 0.0, 0)]
    rows += [(1, "wrong", 9.0, 1), (1, "unknown", 9.0, 1)]
    lines = pd.DataFrame(rows, columns=["index", "use", "sas_score", "sas_called"])
    for name in set(RULES) - {"sas"}:
        lines[f"{name}_score"], lines[f"{name}_called"] = 0.0, 0
    row = rule_rows(lines)[0]
    assert (row.name, row.lines, row.needless, row.called) == ("sas", 4, 2, 3)
    assert (row.precision.value, row.recall.value, row.auc) == (pytest.approx(2 / 3), 1.0, 0.875)
    assert 0 < row.precision.low < 2 / 3 < row.precision.high < 1
    other = rule_rows(lines)[1]
    assert math.isnan(other.precision.value) and other.recall.value == 0 and other.auc == 0.5


def test_ranking_needs_both_kinds() -> None:
    assert math.isnan(area_under_curve(np.array([1.0, 2.0]), np.array([True, True])))


def test_entropies_and_endings_are_those_of_the_model() -> None:
    """Beside a pass with all logits."""
    model = make("llama").eval()
    prompt, ids, ending = [3, 4], [5, 6, 7], [8, 9]
    with torch.no_grad():
        logprobs = torch.log_softmax(model(torch.tensor([[*prompt, *ids]])).logits[0].double() / 0.7, -1)
        expected = [-(logprobs[place].exp() * logprobs[place]).sum().item() for place in (1, 2, 3)]
        assert token_entropies(model, prompt, ids, 0.7) == pytest.approx(expected)
        for prefix, found in zip(
            ([], [5], ids), ending_logprobs(model, prompt, [[], [5], ids], ending), strict=True
        ):
            row = torch.tensor([[*prompt, *prefix, *ending]])
            own = torch.log_softmax(model(row).logits[0].double(), -1)
            at = len(prompt) + len(prefix)
            assert found == pytest.approx((own[at - 1, 8] + own[at, 9]).item(), abs=1e-6)


def test_logits_are_kept_only_where_they_are_read() -> None:
    """Those of a long prompt at a large vocabulary would not fit in memory."""
    model, sizes = make("llama").eval(), list[tuple[int, ...]]()
    model.register_forward_hook(lambda module, given, output: sizes.append(tuple(output.logits.shape[:2])))
    prompt, ids, ending = [3] * 50, [5, 6, 7], [8, 9]
    ending_logprobs(model, prompt, [[], [5], ids], ending)
    assert sizes == [(1, 3)] * 3
    token_entropies(model, prompt, ids, 1.0)
    assert sizes[3:] == [(1, 4)]
