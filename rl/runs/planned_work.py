"""The work of a run as the progress line counts it: a config and the results so far give a list of `Work`."""

from __future__ import annotations

from typing import Any

from configs import Config
from rl.evaluate import num_completions
from rl.runs.forecast import Kind, Work
from rl.runs.record import SECTIONS, Stage, Summary
from rl.search.record import searched_stages

_NOISE_TOKENS = 32
"""Tokens after which a completion of random weights is cut off."""


def planned_work(config: Config, summary: Summary) -> list[Work]:
    """The work that is left of a run, in order; a stage that was cut off counts in full."""
    base, work = base_config(config), list[Work]()
    if not summary.done(Stage.BASE):
        work = [
            evaluation_work(Stage.BASE, base),
            *([search_work(base, Stage.BASE)] if base.eval.search else []),
        ]
    for stage, name in SECTIONS.items():
        section = getattr(config, name)
        if section is not None and not summary.done(stage, section.updates):
            if stage is Stage.KEY_STEPS and section.expected_samples:
                work.append(dual_work(section.expected_samples))
            work += [training_work(stage, config), evaluation_work(stage, config)]
            work += [search_work(config, stage)] if config.eval.search else []
    return work


def training_work(stage: Stage, config: Config) -> Work:
    """The updates of a stage."""
    if stage is Stage.WARM:
        assert config.warm_start is not None
        return Work(label=stage.label, kind=Kind.WARM_UPDATE, units=config.warm_start.updates)
    if stage is Stage.KEY_STEPS:
        assert config.key_steps is not None
        return Work(label=stage.label, kind=Kind.KEY_STEPS_UPDATE, units=config.key_steps.updates)
    assert config.grpo is not None
    period = config.grpo.num_iterations
    return Work(label=stage.label, kind=Kind.GRPO_UPDATE, units=config.grpo.updates, period=period)


def dual_work(num_samples: int) -> Work:
    """The completions that the pairs of the key steps are made of."""
    return Work(label="samples for key steps", kind=Kind.COMPLETION, units=num_samples)


def evaluation_work(stage: Stage, config: Config) -> Work:
    """The completions of a stage's evaluation."""
    return Work(label=f"evaluation of {stage.label}", kind=Kind.COMPLETION, units=num_completions(config))


def search_work(config: Config, stage: Stage | None = None) -> Work:
    """The problems that a model is asked to solve by search: that of a stage, or any other."""
    num = len(config.eval.splits) * config.eval.num_problems
    return Work(label=f"search of {stage.label}" if stage else "search", kind=Kind.PROBLEM, units=num)


def base_config(config: Config) -> Config:
    """The config the base model is evaluated with: random weights are read greedily, and soon cut off.

    They seldom stop, so on long limits they would take as long as the training after them. Whether a base is
    searched with, `searched_stages` says.
    """
    rollout, settings = config.rollout, config.eval
    changed: dict[str, Any] = {"search": Stage.BASE in searched_stages(config)}
    if config.policy.model == "tiny":
        limits = {
            split: settings.max_new_tokens.get(split, rollout.max_new_tokens) for split in settings.splits
        }
        changed |= {
            "num_samples": 0 if settings.greedy else 1,
            "max_new_tokens": {split: min(limit, _NOISE_TOKENS) for split, limit in limits.items()},
            "length_limits": [],
        }
    return config.model_copy(update={"eval": settings.model_copy(update=changed)})
