"""How much likelier the right answer gets with each step, under a policy that is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rl.grpo.credit.answer_logprobs import step_importances
from tests.kit.credit_groups import ENCODER, ENV, credit_group
from tests.kit.directional import END, FULL, SKIP, WRONG


def test_importances_come_back_to_the_steps_they_belong_to() -> None:
    """A policy by which a closing line is as likely as its prefix is long: each step brings its own tokens."""
    ending = len(ENCODER.encode_completion(END))

    def learner(batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        assert set(batch["completion_mask"].sum(1).tolist()) == {ending}
        length = batch["prompt_mask"].sum(1, keepdim=True).double()
        logprobs = (length / ending) * torch.ones_like(batch["completion_mask"]).double()
        return logprobs, logprobs

    groups = [credit_group([FULL + END, WRONG, SKIP + WRONG]), credit_group([SKIP + END], number=1)]
    found = step_importances(groups, ENV, ENCODER, learner, max_tokens=300, device=torch.device("cpu"))
    assert found[0] == [pytest.approx([20, 14, 6]), [], pytest.approx([14, 6])]
    assert found[1] == [pytest.approx([14, 6])]


def test_samples_without_steps_ask_nothing() -> None:
    found = step_importances(
        [credit_group([END, WRONG])],
        ENV,
        ENCODER,
        lambda batch: pytest.fail("a pass"),
        max_tokens=100,
        device=torch.device("cpu"),
    )
    assert found == [[[], []]]
