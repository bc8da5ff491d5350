"""The sections `search`, search with a trained model, and `expert_iteration`, learning from what it finds."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from configs.schema.section import Section

if TYPE_CHECKING:
    from configs.schema.config import Config

Strategy = Literal["self_backtracking", "verified_states"]
Merge = Literal["sum", "mean", "logsumexp", "max"]


class SearchConfig(Section):
    """Search with a trained model (`stride search`, `eval.search`), beside greedy decoding, best-of-N and vote.

    The problems are those of `eval.splits` and `eval.num_problems`; no training reads this section.
    """

    strategies: Annotated[list[Strategy], Field(min_length=1)] = ["self_backtracking"]
    """How a completion is rolled back. `self_backtracking` (arXiv 2502.04404): to the state that the model's
    own `<backtrack>` restores. `verified_states`: to the last state that the environment has not proved dead;
    equal states are one, those with the fewest lines left come first, and the search ends with the first
    completion that verifies."""
    breadth: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [8]
    """N: completions sampled from each state that is expanded. Each number is a search of its own."""
    depth: int = Field(1, ge=0)
    """b: rounds of going back after the first one. The results of all smaller depths come with it."""
    states: int | None = Field(None, ge=1)
    """Rolled-back states that a round expands at most. null: the root of N, rounded down, as released."""
    merge: Merge = "mean"
    """How the scores of completions with the same text become one; a score is the mean log-probability of the
    tokens. `sum`, as released: each repeat makes a completion score lower. `logsumexp`: higher, by the
    logarithm of their number. `mean` and `max`: repeats count for nothing. The page compares all four."""
    temperature: float = Field(0.7, gt=0)
    """Sampling temperature; scores are those of the distribution that was drawn from."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling (arXiv 1904.09751): draw from the likeliest tokens with this total probability."""
    top_k: int | None = Field(None, ge=1)
    """Draw from this many likeliest tokens only (arXiv 1805.04833), before `top_p`. null: from all."""
    max_tokens: int | None = Field(None, ge=1)
    """Budget of a search in sampled tokens a problem: completions that would go beyond it do not count, and no
    further round begins. null: none."""

    @property
    def num_samples(self) -> int:
        """Completions of a problem that one engine call samples at most: a round of all its searches."""
        expanded = sum(breadth * max(1, self.states or isqrt(breadth)) for breadth in self.breadth)
        return len(self.strategies) * expanded

    @property
    def learnt_from(self) -> tuple[Strategy, int, int]:
        """The search that expert iteration learns from: the first strategy, the largest N, and b."""
        return self.strategies[0], max(self.breadth), self.depth

    @field_validator("strategies", "breadth")
    @classmethod
    def _once_each(cls, value: list[object]) -> list[object]:
        if len(set(value)) < len(value):
            raise ValueError(f"got {value}, which names one twice; leave it out")
        return value


class ExpertIterationConfig(Section):
    """Expert iteration over search (`stride iterate`; arXiv 2502.04404).

    Round 0 is the warm start. Each further round searches on train problems with the model of the round before
    (the first of `search.strategies`, the largest of `search.breadth`), keeps the answers that verify, and
    trains that model further on them, with the hyper-parameters of `warm_start`.
    """

    rounds: int = Field(3, ge=0)
    """Rounds after the warm start. 0: the warm start alone."""
    num_problems: int = Field(2000, ge=1)
    """Train problems that are searched in each round, beginning after `warm_start.num_problems`; without
    `fresh_problems` the last ones where the split ends before."""
    fresh_problems: bool = True
    """Search other train problems in each round; refused where the split has too few. false: the same ones
    again, which a small model learns by heart."""
    keep: Literal["chosen", "any"] = "chosen"
    """Which completions are learnt from. `chosen`: the one that the search answers with, if it verifies.
    `any`: the likeliest that verifies, whatever the search answers with."""
    updates: int = Field(100, ge=1)
    """Optimiser updates of a round."""
    learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate of a round. null: `warm_start.learning_rate`."""
    evaluate_search: bool = True
    """Evaluate the search of each round too, with all of the section `search`. false: greedy decoding alone."""


def check_expert_iteration(config: Config) -> None:
    """Refuse expert iteration whose other sections contradict it.

    Raises:
        ValueError: Names the key and what to do.
    """
    if config.expert_iteration is None:
        return
    if config.warm_start is None:
        raise ValueError(
            "warm_start is null, but expert_iteration trains by its hyper-parameters; give the section "
            "warm_start"
        )
    for key in ("iterate", "grpo", "key_steps"):
        if getattr(config, key) is not None:
            raise ValueError(f"{key} and expert_iteration are both given; set one of them to null")
    for key, value in (("eval.every", config.eval.every), ("push_to_hub", config.push_to_hub)):
        if value is not None:
            raise ValueError(
                f"{key} is for `stride train`, but the config has expert_iteration; set {key} to null"
            )
