"""The section `grpo.credit`: how the advantage of a completion is given to its tokens."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from configs.schema.section import Section

CreditName = Literal["sequence", "parts", "progress", "same_state", "monte_carlo", "decs", "sas", "swap"]
_OPTIONS: dict[str, dict[str, Any]] = {  # what each kind of credit reads, with its default
    "sequence": {},
    "parts": {},
    "progress": {"weight": 0.25, "dead_end": 1.0},
    "same_state": {"weight": 1.0, "discount": 0.95},
    "monte_carlo": {"continuations": 4, "segment": 1},
    "decs": {"weight": 0.1},
    "sas": {"share": 0.3},
    "swap": {"weight": 0.2},
}


class CreditConfig(Section):
    """Which tokens of a completion its reward is credited to. `grpo.credit: NAME` sets `name` alone."""

    name: CreditName = "sequence"
    """`sequence`: every token gets the advantage of its completion. `parts`: prices on steps and backtracks
    fall on the tokens of the lines that caused them, all else on every token. `progress`: a line gains or loses
    by how much nearer the end it leads than the lines that the group took from the same state (potential-based
    shaping, Ng et al. 1999). `same_state`: the samples that stand in the same state are compared there once
    more (GiGPO, arXiv 2505.10978). `monte_carlo`: a step gets the change of the mean reward of continuations
    that are sampled before and after it (VinePPO, arXiv 2410.01679). `decs`: length costs right samples only
    after the line that ends the task (DECS, arXiv 2509.25827). `sas`: no advantage on the least confident steps
    of right samples, nor on the most confident ones of others (SAS, arXiv 2604.24003). `swap`: right samples
    pay for excess length on the steps that brought the answer no nearer (SwAP, arXiv 2603.00296). `progress`,
    `same_state` and `decs` need a task that checks steps."""
    weight: float | None = Field(None, ge=0)
    """`progress`: the reward of one elementary line, 0.25 if null. `same_state`: the factor of the advantage of
    steps (omega), 1. `decs`: the part of the length in the reward (beta), 0.1. `swap`: the price of a sample
    twice as long as the shortest right one, 0.2."""
    dead_end: float | None = Field(None, ge=0)
    """`progress`: how many elementary lines a dead end, or a wrong line until it is taken back, is further from
    the end than anything that the group wrote. null: 1."""
    discount: float | None = Field(None, gt=0, le=1)
    """`same_state`: the factor of the reward for each line that is left (gamma). null: 0.95."""
    share: float | None = Field(None, ge=0, le=1)
    """`sas`: the share of the steps of a sample that gets no advantage. null: 0.3."""
    continuations: int | None = Field(None, ge=1)
    """`monte_carlo`: continuations sampled after each segment; samples that begin alike share them. null: 4."""
    segment: int | None = Field(None, ge=1)
    """`monte_carlo`: steps of a segment (SPO, arXiv 2505.23564). null: 1."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _options_fit(self) -> CreditConfig:
        for key in type(self).model_fields:
            if key != "name" and getattr(self, key) is not None and key not in _OPTIONS[self.name]:
                readers = ", ".join(name for name, options in _OPTIONS.items() if key in options)
                raise ValueError(
                    f"{key} is for {readers}, but name is {self.name}; leave it out, or change name"
                )
        return self

    def option(self, key: str) -> Any:
        """The value of an option, or its default for this kind of credit."""
        given = getattr(self, key)
        return _OPTIONS[self.name][key] if given is None else given

    @property
    def reads_facts(self) -> bool:
        """Whether it reads what the environment knows of each line."""
        return self.name in ("parts", "progress", "same_state", "decs")

    @property
    def by_step(self) -> bool:
        """Whether the tokens of a completion may differ in their advantage."""
        return self.name != "sequence"
