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
    grid:                               # every case with every combination: free-grpo.beta_0.0, ...
      grpo.beta: [0.0, 0.1]

Out: the runs it takes. Cases with the same warm start share it: it is a run of its own, and theirs begin from
its model. With `policy.lora` they do not share it, since it would be an adapter and no model. A case with
`iterate` is a step-skipping loop, one with `expert_iteration` has rounds of search: one run, with trainings of
its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from configs.schema.config import Config, RewardsConfig
from configs.schema.grid import Cases, Grid, expand, read_grid
from configs.schema.load import load_config
from configs.schema.messages import describe_errors
from configs.schema.section import Section
from configs.schema.shipped import Shipped, find_config, is_name
from configs.schema.yaml_text import ConfigError, read_yaml

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_WARM = "warm-"
_OURS = {"seed": "seeds", "name": "name", "output_dir": "--output"}  # keys that a plan sets, and from what
_AFTER_WARM_START = ("name", "output_dir", "modules_dir", "seed", "rewards", "key_steps", "grpo", "iterate")


class AblationConfig(Section):
    """An ablation: what is compared."""

    name: str = Field(pattern=rf"^{_NAME.pattern}$")
    """Name of the ablation, shown in its report; its results go to `runs/<name>`."""
    question: str
    """The question it answers, in a sentence."""
    base: str
    """Config that all cases share: a path relative to this file, or the name of a shipped config."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = [0, 1, 2]
    """Run seeds; every case is run with each."""
    parallel: int = Field(1, ge=1)
    """Most runs at the same time; fewer if the machine has less room."""
    gpus_per_trial: float | None = Field(None, ge=0)
    """GPUs reserved for the learner of a run, fractions allowed. null: one if `device` is cuda, or auto on a
    machine with GPUs."""
    cases: Cases = {}
    """Cases by name, with the config keys that each sets, dotted or as sections."""
    grid: Grid = {}
    """Config keys, dotted, with their values as a list or by label. Every case is run with every combination;
    without `cases`, the combinations are the cases."""

    @field_validator("seeds")
    @classmethod
    def _different(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError(f"the same seed twice gives the same run twice, got {value}")
        return value

    @field_validator("gpus_per_trial")
    @classmethod
    def _as_ray_hands_out(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError(f"Ray hands out fractions below 1 or whole numbers, got {value:g}")
        return value

    @field_validator("grid", mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        return read_grid(value)

    @model_validator(mode="after")
    def _names_are_valid(self) -> AblationConfig:
        names = [*self.cases, *expand(self.cases, self.grid)]
        if not names:
            raise ValueError("there is nothing to compare; give cases, a grid or both")
        for case in names:
            if not _NAME.fullmatch(case):
                raise ValueError(
                    f"cases: a case's name names folders: letters, digits, '_', '-' and '.', got {case!r}"
                )
            if case.startswith(_WARM):
                raise ValueError(
                    f"cases: '{_WARM}' begins the names of shared warm starts; call {case!r} otherwise"
                )
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run of an ablation.

    Attributes:
        name: Name of its folder.
        case: The case, or the first of those that share this warm start.
        seed: Run seed.
        config: Config of the run, with its `output_dir`.
        after: Name of the trial whose model it begins from, or None.
    """

    name: str
    case: str
    seed: int
    config: Config
    after: str | None = None

    @property
    def group(self) -> str:
        """Its name without the seed."""
        return self.name.removesuffix(f"-seed{self.seed}")

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        assert self.config.output_dir is not None
        return Path(self.config.output_dir)

    @property
    def log(self) -> Path:
        """File of its output, beside its folder."""
        return self.folder.with_name(f"{self.name}.log")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The runs of an ablation, each after the one it needs.

    Attributes:
        config: The ablation; its `cases` include the combinations of the grid.
        folder: Where everything is written.
        trials: The runs, seed by seed.
        results: The trials that hold the stages of each case and seed, in order.
    """

    config: AblationConfig
    folder: Path
    trials: tuple[Trial, ...]
    results: dict[tuple[str, int], tuple[str, ...]]

    @property
    def headline(self) -> str:
        """Its size, as `gate: 9 cases, 3 seeds, 30 runs in /home/me/runs/gate`."""
        counts = [(len(self.config.cases), "case"), (len(self.config.seeds), "seed"), (len(self.trials), "run")]
        parts = [f"{num} {noun}{'s' * (num != 1)}" for num, noun in counts]
        return f"{self.config.name}: {', '.join(parts)} in {self.folder}"


def load_ablation(path: str | Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Plan:
    """Read an ablation and plan its runs.

    Args:
        path: A YAML file, or the name of a shipped ablation.
        overrides: `dotted.key=value`, set in the base config before the cases are.
        folder: Where to write; None: `runs/<name>`.

    Raises:
        ConfigError: The file, the base config or a case is wrong.
    """
    path = find_config(path, Shipped.ABLATION)
    data = read_yaml(path)
    if "env" in data and "cases" not in data:
        raise ConfigError(
            f"{path} is the config of one run; run it with `stride train`, or name it as the base of an "
            "ablation"
        )
    config, mistakes = _check(data)
    if config is not None:
        try:
            rewards, wholes = _configs_of_cases(config, path.parent, overrides)
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError(f"{path}: {'; '.join(mistakes)}")
    assert config is not None
    config = config.model_copy(update={"cases": expand(config.cases, config.grid)})
    folder = (folder or Path("runs") / config.name).absolute()
    trials: dict[str, Trial] = {}
    results: dict[tuple[str, int], tuple[str, ...]] = {}
    warm_starts: dict[str, Trial] = {}
    for seed in config.seeds:
        for case, whole in wholes.items():
            seeded = whole.model_copy(update={"seed": seed})
            made = _trials_of(seeded, rewards, case, folder, warm_starts)
            trials.update({trial.name: trial for trial in made})
            results[case, seed] = tuple(trial.name for trial in made)
    return Plan(config=config, folder=folder, trials=tuple(trials.values()), results=results)


def _check(data: dict[str, Any]) -> tuple[AblationConfig | None, list[str]]:
    """The ablation, or None where it cannot be read, and its mistakes.

    One without a question is read all the same, so that this mistake hides no other.
    """
    mistakes = []
    if "question" not in data:
        mistakes, data = ["missing key 'question'"], {**data, "question": ""}
    try:
        return AblationConfig.model_validate(data), mistakes
    except ValidationError as error:
        return None, [*mistakes, describe_errors(error, AblationConfig)]


def _configs_of_cases(
    config: AblationConfig, folder: Path, overrides: Sequence[str]
) -> tuple[RewardsConfig, dict[str, Config]]:
    """The rewards of the base config, and the whole config of every case.

    Raises:
        ConfigError: A case or the command line sets what the plan sets, or a config is wrong.
    """
    set_keys = chain(
        (override.partition("=")[0] for override in overrides), *config.cases.values(), config.grid
    )
    for key in set_keys:
        if key in _OURS:
            raise ConfigError(f"an ablation sets '{key}' itself, by {_OURS[key]}; leave it out")
    base = folder / config.base
    try:
        if not base.exists() and is_name(config.base):
            base = find_config(config.base)
        rewards = load_config(base, overrides).rewards
    except ConfigError as error:
        raise ConfigError(f"base: {error}") from None
    wholes: dict[str, Config] = {}
    for case, keys in expand(config.cases, config.grid).items():
        try:
            # Copied, because cases may share a value (an anchor, a grid) of which one sets a part.
            wholes[case] = load_config(base, overrides, deepcopy({**keys, "name": f"{config.name}-{case}"}))
        except ConfigError as error:
            raise ConfigError(f"case '{case}': {error}") from None
    _check_expert_iteration(wholes)
    return rewards, wholes


def _check_expert_iteration(cases: Mapping[str, Config]) -> None:
    """Refuse rounds of search beside cases that have none: their pages have nothing in common."""
    rounds = [case for case, config in cases.items() if config.expert_iteration is not None]
    others = [case for case in cases if case not in rounds]
    if rounds and others:
        raise ConfigError(
            f"case '{rounds[0]}' has the section expert_iteration and case '{others[0]}' has not; set it to "
            "null in all cases, or give it to all"
        )


def _trials_of(
    config: Config, rewards: RewardsConfig, case: str, folder: Path, warm_starts: dict[str, Trial]
) -> tuple[Trial, ...]:
    """The warm start, which an earlier case may share, and the run that follows it."""
    seed = config.seed
    name = f"{case}-seed{seed}"
    if config.iterate is not None:
        if config.iterate.train == "sft":
            config = config.model_copy(update={"grpo": None})  # the loop does not read it
        return (Trial(name=name, case=case, seed=seed, config=_in(config, folder / name)),)
    if config.warm_start is None or config.policy.lora is not None or config.expert_iteration is not None:
        return (Trial(name=name, case=case, seed=seed, config=_in(config, folder / name)),)
    before = config.model_dump(mode="json", exclude=set(_AFTER_WARM_START))
    # Its name is a hash of what it depends on, so cases can be added and moved.
    mark = blake2b(json.dumps(before, sort_keys=True).encode(), digest_size=4).hexdigest()
    warm = f"{_WARM}{mark}-seed{seed}"
    nothing_after = {"rewards": rewards, "key_steps": None, "grpo": None}
    only_warm = config.model_copy(update={"name": f"{_WARM}{mark}", **nothing_after})
    first = warm_starts.setdefault(
        warm, Trial(name=warm, case=case, seed=seed, config=_in(only_warm, folder / warm))
    )
    if config.key_steps is None and config.grpo is None:
        return (first,)
    model = folder / first.name / "models" / "warm"
    policy = config.policy.model_copy(update={"model": str(model)})
    rest = _in(config.model_copy(update={"policy": policy, "warm_start": None}), folder / name)
    return (first, Trial(name=name, case=case, seed=seed, config=rest, after=first.name))


def _in(config: Config, folder: Path) -> Config:
    return config.model_copy(update={"output_dir": str(folder)})
