"""The section `search`: search with a trained model (`stride search`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from configs.schema.section import Section

Strategy = Literal["self_backtracking", "verified_states"]
Merge = Literal["sum", "mean", "logsumexp", "max"]


class SearchConfig(Section):
    """Search with a trained model (`stride search`), beside greedy decoding, best-of-N and majority vote.

    The problems are those of `eval.splits` and `eval.num_problems`; no training reads this section.
    """

    strategies: Annotated[list[Strategy], Field(min_length=1)] = ["self_backtracking"]
    """How a completion is rolled back. `self_backtracking` (arXiv 2502.04404): to the state that the model's
    own `<backtrack>` restores. `verified_states`: to the last state that the environment has not proved dead;
    equal states are one, and the search ends with the first completion that verifies."""
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
    max_tokens: int | None = Field(None, ge=1)
    """Budget of a search in sampled tokens a problem: completions that would go beyond it do not count, and no
    further round begins. null: none."""

    @field_validator("strategies", "breadth")
    @classmethod
    def _once_each(cls, value: list[object]) -> list[object]:
        if len(set(value)) < len(value):
            raise ValueError(f"got {value}, which names one twice; leave it out")
        return value
