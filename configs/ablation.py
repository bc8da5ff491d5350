"""An ablation: one config, the cases that change parts of it, and the seeds each is run with.

In: a YAML file::

    name: backtrack_price
    question: Does a price on backtracks cost accuracy?
    base: ../countdown.yaml             # beside this file
    seeds: [0, 1, 2]
    cases:
      free: {}
      priced: {rewards.terms: [{name: correct, weight: 1.0}, {name: backtracks, weight: -0.2, gate: correct}]}

Out: the runs it takes. Cases that differ in nothing before GRPO share a warm start: it is a run of its own, and
theirs begin from its model. With `policy.lora` they do not, as it would be an adapter and no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from configs.load import ConfigError, describe_errors, load_config, read_yaml
from configs.schema import Config, Section

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_AFTER_WARM_START = ("name", "output_dir", "rewards", "grpo")


class AblationConfig(Section):
    """What is compared."""

    name: str = Field(pattern=rf"^{_NAME.pattern}$")
    """Name of the ablation, shown in its report."""
    question: str
    """What it asks, in a sentence."""
    base: str
    """Config file of what all cases share; a relative path starts at this file's folder."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = [0, 1, 2]
    """Run seeds; every case is run with each."""
    parallel: int = Field(1, ge=1)
    """Runs at a time. Each takes the threads of its config."""
    cases: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Names, and the dotted config keys each case sets."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"the same seed twice gives the same run twice, got {value}")
        return value

    @field_validator("cases")
    @classmethod
    def _folder_names(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for case in value:
            if not _NAME.fullmatch(case):
                raise ValueError(
                    f"a case's name names folders: letters, digits, '_', '-' and '.', got {case!r}"
                )
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run of an ablation.

    Attributes:
        name: Name of its folder.
        case: The case, or the first of those that share this warm start.
        seed: Run seed.
        config: What is run; its `output_dir` is set.
        after: Name of the trial whose model it begins with; None where it needs none.
    """

    name: str
    case: str
    seed: int
    config: Config
    after: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The runs of an ablation, each after the one it needs.

    Attributes:
        config: The ablation.
        folder: Where everything is written.
        trials: The runs, seed by seed.
        results: Of each case and seed the trials that hold its stages, in order.
    """

    config: AblationConfig
    folder: Path
    trials: tuple[Trial, ...]
    results: dict[tuple[str, int], tuple[str, ...]]


def load_ablation(path: str | Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Plan:
    """Read an ablation and plan its runs.

    Args:
        path: A YAML file.
        overrides: `dotted.key=value`, set in the base config before the cases are.
        folder: Where to write; None: `runs/<name>`.

    Raises:
        ConfigError: The file, the base or what a case makes of it is wrong.
    """
    path = Path(path)
    try:
        config = AblationConfig.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_errors(error, AblationConfig)}") from None
    folder = (folder or Path("runs") / config.name).absolute()
    trials: dict[str, Trial] = {}
    results: dict[tuple[str, int], tuple[str, ...]] = {}
    warm_starts: dict[str, Trial] = {}
    for seed in config.seeds:
        for case, keys in config.cases.items():
            settings = [*overrides, *(f"{key}={json.dumps(value)}" for key, value in keys.items())]
            where = path.parent / config.base
            try:
                whole = load_config(where, [*settings, f"seed={seed}", f"name={config.name}-{case}"])
            except ConfigError as error:
                raise ConfigError(f"{path}: case '{case}': {error}") from None
            made = _trials_of(whole, case, seed, folder, warm_starts)
            trials.update({trial.name: trial for trial in made})
            results[case, seed] = tuple(trial.name for trial in made)
    return Plan(config=config, folder=folder, trials=tuple(trials.values()), results=results)


def _trials_of(
    config: Config, case: str, seed: int, folder: Path, warm_starts: dict[str, Trial]
) -> tuple[Trial, ...]:
    """The warm start, which may be one that an earlier case has, and what comes after it."""
    name = f"{case}-seed{seed}"
    if config.warm_start is None or config.policy.lora is not None:
        return (Trial(name=name, case=case, seed=seed, config=_in(config, folder / name)),)
    before = config.model_dump(mode="json", exclude=set(_AFTER_WARM_START))
    warm = f"warm-{name}"
    only_warm = _in(config.model_copy(update={"grpo": None}), folder / warm)
    first = warm_starts.setdefault(
        json.dumps(before, sort_keys=True), Trial(name=warm, case=case, seed=seed, config=only_warm)
    )
    if config.grpo is None:
        return (first,)
    model = folder / first.name / "models" / "warm"
    policy = config.policy.model_copy(update={"model": str(model)})
    rest = _in(config.model_copy(update={"policy": policy, "warm_start": None}), folder / name)
    return (first, Trial(name=name, case=case, seed=seed, config=rest, after=first.name))


def _in(config: Config, folder: Path) -> Config:
    return config.model_copy(update={"output_dir": str(folder)})
