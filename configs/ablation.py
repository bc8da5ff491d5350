"""An ablation: one config, the cases that change parts of it, and the seeds each is run with.

In: a YAML file::

    name: backtrack_price
    question: Does a price on backtracks cost accuracy?
    base: ../countdown.yaml             # beside this file
    seeds: [0, 1, 2]
    cases:
      free: {}
      priced:
        rewards.terms: [{name: correct, weight: 1.0}, {name: backtrack_count, weight: -0.2, gate: correct}]

Out: the runs it takes. Cases that differ in nothing before GRPO share a warm start: it is a run of its own, and
theirs begin from its model. With `policy.lora` they do not, as it would be an adapter and no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from configs.load import ConfigError, describe_errors, load_config, read_yaml
from configs.schema import Config, RewardsConfig, Section

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_WARM = "warm-"
_OURS = {"seed": "seeds", "name": "name", "output_dir": "--output"}  # what a plan sets, and by what
_AFTER_WARM_START = ("name", "output_dir", "seed", "rewards", "grpo")


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
    """Names, and the config keys each case sets, dotted or as sections."""

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
            if case.startswith(_WARM):
                raise ValueError(f"'{_WARM}' begins the names of shared warm starts; call {case!r} otherwise")
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
    data = read_yaml(path)
    if "env" in data and "cases" not in data:
        raise ConfigError(
            f"{path} is the config of one run; give it to scripts/train.py, or name it as the base of an "
            "ablation"
        )
    try:
        config = AblationConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_errors(error, AblationConfig)}") from None
    for key in [*(override.partition("=")[0] for override in overrides), *chain(*config.cases.values())]:
        if key in _OURS:
            raise ConfigError(f"{path}: an ablation sets '{key}' itself, by {_OURS[key]}; leave it out")
    folder = (folder or Path("runs") / config.name).absolute()
    trials: dict[str, Trial] = {}
    results: dict[tuple[str, int], tuple[str, ...]] = {}
    warm_starts: dict[str, Trial] = {}
    base = path.parent / config.base
    try:
        rewards = load_config(base, overrides).rewards
    except ConfigError as error:
        raise ConfigError(f"{path}: base: {error}") from None
    for seed in config.seeds:
        for case, keys in config.cases.items():
            ours = {"seed": seed, "name": f"{config.name}-{case}"}
            try:
                whole = load_config(base, overrides, {**keys, **ours})
            except ConfigError as error:
                raise ConfigError(f"{path}: case '{case}': {error}") from None
            made = _trials_of(whole, rewards, case, folder, warm_starts)
            trials.update({trial.name: trial for trial in made})
            results[case, seed] = tuple(trial.name for trial in made)
    return Plan(config=config, folder=folder, trials=tuple(trials.values()), results=results)


def _trials_of(
    config: Config, rewards: RewardsConfig, case: str, folder: Path, warm_starts: dict[str, Trial]
) -> tuple[Trial, ...]:
    """The warm start, which may be one that an earlier case has, and what comes after it."""
    seed = config.seed
    name = f"{case}-seed{seed}"
    if config.warm_start is None or config.policy.lora is not None:
        return (Trial(name=name, case=case, seed=seed, config=_in(config, folder / name)),)
    before = config.model_dump(mode="json", exclude=set(_AFTER_WARM_START))
    # It is named by what it is, and has nothing of a case that does not matter: cases can be added and moved.
    mark = blake2b(json.dumps(before, sort_keys=True).encode(), digest_size=4).hexdigest()
    warm = f"{_WARM}{mark}-seed{seed}"
    only_warm = config.model_copy(update={"name": f"{_WARM}{mark}", "rewards": rewards, "grpo": None})
    first = warm_starts.setdefault(
        warm, Trial(name=warm, case=case, seed=seed, config=_in(only_warm, folder / warm))
    )
    if config.grpo is None:
        return (first,)
    model = folder / first.name / "models" / "warm"
    policy = config.policy.model_copy(update={"model": str(model)})
    rest = _in(config.model_copy(update={"policy": policy, "warm_start": None}), folder / name)
    return (first, Trial(name=name, case=case, seed=seed, config=rest, after=first.name))


def _in(config: Config, folder: Path) -> Config:
    return config.model_copy(update={"output_dir": str(folder)})
