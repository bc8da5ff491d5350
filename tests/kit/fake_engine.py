"""An engine that draws tokens without a model, so that thousands of updates take a minute.

`install` makes runs of this process use it, and their actors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import rl.build
from rollout.engines.base import Engine, Weights, check_weights
from rollout.engines.spec import EngineSpec
from rollout.types import Completion, FinishReason, Prompt, Sampling


class FakeEngine:
    """Completions of random tokens and lengths; each follows from its seed.

    Attributes:
        weight_version: See `Engine`.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self.weight_version = 0
        self._stop = spec.stop_ids[0]
        self._weights = dict(spec.model.named_parameters())
        self._vocabulary = spec.model.config.vocab_size

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """See `Engine.generate`."""
        return [
            [self._draw(Random(seed), sampling.max_new_tokens) for seed in prompt.seeds] for prompt in prompts
        ]

    def _draw(self, rng: Random, limit: int) -> Completion:
        ids = [rng.randrange(self._vocabulary) for _ in range(rng.randint(1, limit - 1))]
        return Completion(
            ids=(*ids, self._stop),
            logprobs=(-math.log(self._vocabulary),) * (len(ids) + 1),
            finish_reason=FinishReason.STOP,
            weight_version=self.weight_version,
        )

    def load_weights(self, weights: Weights, version: int) -> None:
        """Take the version, and check that weights fit."""
        check_weights(weights, version, to=self._weights)
        self.weight_version = version

    def sleep(self) -> bool:
        """Nothing to give back."""
        return False

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True, kw_only=True)
class FakeEngineSpec(EngineSpec):
    """A spec whose engine is a `FakeEngine`."""

    def build(self) -> Engine:
        """Make the engine."""
        return FakeEngine(self)


def install() -> None:
    """Let runs of this process sample with it."""
    vars(rl.build)["EngineSpec"] = FakeEngineSpec
