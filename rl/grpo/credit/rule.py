"""What every kind of step credit reads and gives.

In: a group whose samples have advantages, and the tokens of their lines. Out: an advantage for each token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from envs.faults import wrong_lines_stand
from rl.grpo.micro_batches import Advantage
from rl.grpo.old_policy import Score
from rollout.types import RolloutGroup, Sample

Span = tuple[int, int]
"""The tokens of a line: the first one, and the one after the last (`step_spans`)."""

Visit = tuple[int, bool, int]
"""Where a sample stands: the number of the state, whether a wrong line stands, and how often it had stood there
before. An invalid line leaves the state as it is, but what helps then is to take it back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditGroup:
    """A group, as a rule reads it.

    Attributes:
        group: Its samples, with the facts of their lines.
        spans: The tokens of each line, by sample.
        start: The number of the state before the first line, as in `LineFacts.state`.
        advantages: The advantage of each sample: what every token would get without step credit.
        divisor: What the rewards are divided by in them (`grpo.scale_rewards`); 1: nothing.
        scale: What credit is divided by that does not come from the rewards of the group: the deviation of the
            batch where rewards are divided by that one, else 1. Their own deviation may be next to nothing.
        importances: What the policy says of the steps of each sample (`step_importances`); empty if nobody
            asked.
    """

    group: RolloutGroup
    spans: Sequence[Sequence[Span]]
    start: int
    advantages: Sequence[float]
    divisor: float = 1.0
    scale: float = 1.0
    importances: Sequence[Sequence[float]] = ()

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of the group."""
        return self.group.samples

    def visits_before(self, sample: int) -> list[Visit]:
        """Where a sample stood before each of its lines and its closing line."""
        seen: Counter[tuple[int, bool]] = Counter()
        visits = []
        after = zip(
            self.samples[sample].facts or (), wrong_lines_stand(self.samples[sample].trace), strict=False
        )
        for place in [(self.start, False), *((fact.state, stands) for fact, stands in after)]:
            visits.append((*place, seen[place]))
            seen[place] += 1
        return visits

    def with_lines(self, lines: Sequence[Sequence[float]]) -> list[list[float]]:
        """Advantages of tokens: that of the sample, and on the tokens of each line what the line gets.

        Args:
            lines: What each line gets, by sample; one value more is that of the closing line, which is all that
                follows the last line.
        """
        tokens = []
        for sample, spans, advantage, values in zip(
            self.samples, self.spans, self.advantages, lines, strict=True
        ):
            num = len(sample.completion.ids)
            row = [advantage] * num
            closing = (spans[-1][1] if spans else 0, num)
            for (start, end), value in zip([*spans, closing], values, strict=False):
                row[start:end] = [advantage + value] * (end - start)
            tokens.append(row)
        return tokens


Rule = Callable[[CreditGroup], list[list[float]]]
"""Gives the advantages of all tokens of a group, by sample."""


class Credit(Protocol):
    """Gives the advantages of the tokens of groups; `StepCredit` is the one that runs use."""

    @property
    def reads_policy(self) -> bool:
        """Whether `read_policy` has to come before the groups of an update."""
        ...

    def read_policy(
        self, groups: Sequence[RolloutGroup], learner: Score, *, max_tokens: int, device: torch.device
    ) -> None:
        """Ask the policy about the groups of an update.

        Args:
            groups: The groups.
            learner: The learner's forward pass.
            max_tokens: Tokens of a pass, padding included.
            device: Where it runs.
        """
        ...

    def spans(self, group: RolloutGroup) -> Sequence[Sequence[Span]]:
        """The tokens of each line, by sample."""
        ...

    def __call__(
        self, group: RolloutGroup, advantages: Sequence[float], deviation: float | None = None
    ) -> list[Advantage]:
        """The advantages of each sample's tokens.

        Args:
            group: A group with facts of lines.
            advantages: One for each sample (`group_advantages`).
            deviation: What the rewards are divided by in them, less 1e-4; None: they are not.
        """
        ...
