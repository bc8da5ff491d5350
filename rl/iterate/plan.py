"""The work of a loop as the progress line counts it: what is there already gives what is left, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from configs import Config
from rl.iterate.files import model_folder
from rl.iterate.record import ModelKind
from rl.runs.forecast import Kind, Work


class Phase(StrEnum):
    """A phase of a round."""

    ASK = "asking for fewer steps"
    TRAIN = "training"
    EVALUATE = "evaluation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How many answers the phases need.

    Attributes:
        asked: To requests on train.
        evaluated: By kind of model.
    """

    asked: int
    evaluated: dict[ModelKind, int]


def kinds(config: Config) -> tuple[ModelKind, ...]:
    """The models of each round, in the order in which they are trained."""
    assert config.iterate is not None
    return (ModelKind.CONDITIONED, *([ModelKind.STANDARD] if config.iterate.standard else []))


def trains_by_grpo(config: Config, number: int, kind: ModelKind) -> bool:
    """Whether a model is trained by GRPO; the others by SFT."""
    assert config.iterate is not None
    return config.iterate.train == "grpo" and number > 0 and kind is ModelKind.CONDITIONED


def work(config: Config, number: int, phase: Phase, kind: ModelKind, units: int = 0) -> Work:
    """One phase of a round, with a label of its own."""
    assert config.iterate is not None and config.warm_start is not None
    label = f"round {number}/{config.iterate.rounds}, {phase}"
    if phase is not Phase.ASK:
        label += f" of the {kind} model"
    if phase is not Phase.TRAIN:
        return Work(label=label, kind=Kind.COMPLETION, units=units)
    if trains_by_grpo(config, number, kind):
        assert config.grpo is not None
        return Work(
            label=label, kind=Kind.GRPO_UPDATE, units=config.grpo.updates, period=config.grpo.num_iterations
        )
    return Work(label=label, kind=Kind.WARM_UPDATE, units=config.warm_start.updates)


def planned(config: Config, run: Path, done: set[int], sizes: Sizes) -> Iterator[Work]:
    """The work that is left.

    Args:
        config: The loop.
        run: Its folder: trainings whose model is there are not repeated.
        done: Rounds that are finished.
        sizes: Answers of each phase.
    """
    assert config.iterate is not None
    for number in range(config.iterate.rounds + 1):
        if number in done:
            continue
        if number:
            yield work(config, number, Phase.ASK, ModelKind.CONDITIONED, sizes.asked)
        for kind in kinds(config):
            if not model_folder(run, number, kind).is_dir():
                yield work(config, number, Phase.TRAIN, kind)
            yield work(config, number, Phase.EVALUATE, kind, sizes.evaluated[kind])
