"""The section `iterate`: the loop of "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from configs.schema.section import Section

if TYPE_CHECKING:
    from configs.schema.config import Config


class IterateConfig(Section):
    """The step-skipping loop (`stride iterate`, arXiv 2411.01855).

    Each round asks the model of the round before for fewer steps on the train problems, keeps the right
    answers that have exactly as many steps as asked for and fewer than full, mixes them with the full traces,
    and trains again from the base model. `warm_start` has the hyper-parameters of every training, so that all
    have equally many updates, and `warm_start.num_problems` the number of train problems.
    """

    rounds: int = Field(5, ge=0)
    """Rounds after the initialisation (round 0); the paper's iterations. 0: the initialisation alone."""
    init: Literal["warm", "cold"] = "warm"
    """What round 0 learns. `cold`: the full trace of each train problem, with its number of steps in the
    prompt. `warm`: also, with its lower number, a trace with a step skipped by hand for each problem that has
    one, by `warm_start.skip_kinds`. As in the released scripts, later rounds do not see the hand-skipped
    traces."""
    fewer: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [1, 2]
    """By how many steps fewer than full the model is asked to solve each train problem, one request for each.
    As in the released code, a request that would come to 0 steps or less asks for the full number; nothing
    that answers it is kept. A problem that is kept with two numbers of steps gives two demonstrations."""
    mix: Literal["new", "equal", "skipped_only"] = "new"
    """What a round learns. `new`: all answers that were kept, and all full traces. `equal`: as many of the one
    as of the other, drawn at random. `skipped_only`: the kept answers alone."""
    keep: Literal["right", "verified"] = "right"
    """What is kept. `right`: the paper's filter, which reads the answer and counts the steps. `verified`: also
    every line must hold, where the task checks steps."""
    train: Literal["sft", "grpo"] = "sft"
    """How a round trains the model that is asked. `sft`: on the mix, from the base model. `grpo`: by the
    sections `grpo` and `rewards`, from the model of the round before, on train problems whose prompts state a
    number of steps: the full number less one of `fewer`, or with `grpo.budget_frac: 1` one between half and
    all. The standard model is trained on the mix either way."""
    standard: bool = True
    """Also train, from the base model on each round's mix, a *standard* model whose prompts state no number of
    steps: the one whose accuracy and steps the paper reports."""
    validation: dict[str, Any] | None = None
    """Settings of the environment that differ for the validation cell, which is its split `ood_easy` with them,
    as `{ood_easy: ["4_4"]}`. It should be harder than train and share no bucket with `eval.splits`: by its
    accuracy, round and mix are chosen without a look at the test cells. A problem of a test cell in it is
    refused. null: none."""

    @model_validator(mode="after")
    def _requests_differ(self) -> IterateConfig:
        if len(set(self.fewer)) < len(self.fewer):
            raise ValueError(f"fewer is {self.fewer}, but names a number twice; leave one out")
        return self


_NOT_READ = {
    "curriculum": [],
    "skipped_frac": 0.5,
    "detour_frac": 0.0,
    "search_frac": 0.0,
    "budget_frac": 0.0,
    "thought_dropout": 0.0,
}
"""Keys of `warm_start` that mix demonstrations, with their defaults: in the loop, `iterate` does."""


def check_loop(config: Config) -> None:
    """Refuse a loop whose other sections contradict it.

    Raises:
        ValueError: Names the key and what to do.
    """
    loop, warm_start, grpo = config.iterate, config.warm_start, config.grpo
    if loop is None:
        return
    if warm_start is None:
        raise ValueError(
            "warm_start is null, but iterate trains by its hyper-parameters; give the section warm_start"
        )
    for key, default in _NOT_READ.items():
        if (value := getattr(warm_start, key)) != default:
            raise ValueError(
                f"warm_start.{key} is {value!r}, but with iterate the loop decides what is learnt; leave it out"
            )
    if loop.train == "grpo" and grpo is None:
        raise ValueError("iterate.train is grpo, but grpo is null; give the section grpo")
    if loop.train == "grpo" and grpo is not None and grpo.budget_frac not in (0, 1):
        raise ValueError(
            f"grpo.budget_frac is {grpo.budget_frac:g}, but in a loop every prompt states a number of steps; "
            "set it to 0 (full less one of iterate.fewer) or 1 (between half and all)"
        )
    if "id" not in config.eval.splits:
        raise ValueError(
            f"eval.splits is {config.eval.splits}, but iterate measures how requests are followed on id; add id"
        )
    for key, value in (
        ("eval.every", config.eval.every),
        ("push_to_hub", config.push_to_hub),
    ):
        if value is not None:
            raise ValueError(f"{key} is for `stride train`, but the config has iterate; set {key} to null")
