"""What the problems of a run were when it began (`problems.json`), so that it does not go on with others.

In: the environment of a run, those of the curriculum's phases, and the modules that users wrote. Out: hashes of
the problems by split, of the data files that a user's environment reads, and of the modules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from envs import Env, Split
from envs.modules import loaded_files
from envs.own import is_own

NAME = "problems.json"
_VALIDATION = "validation"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemChange:
    """Problems that are not those the run began with.

    Example: `ProblemChange(keys=("env.settings.train",), what="the train problems of rows.jsonl (20 then, 24
    now)")`

    Attributes:
        keys: Config keys that stand for them; allowing one by name, or a key below it, lets the run go on.
        what: A clause that names them.
    """

    keys: tuple[str, ...]
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Problems:
    """What a run's problems are, as hashes.

    Attributes:
        splits: By split: number of `problems`, None if endless, and `sha256` of them.
        curriculum: The same of the train problems of each phase of the warm start's curriculum.
        data: SHA-256 of the files that the settings of users' environments name, by file.
        modules: SHA-256 of users' modules, by file: environments, rewards, and what they import.
        notes: Of their loading.
        sources: Where the problems of a split are from, for messages.
    """

    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curriculum: Sequence[Mapping[str, Any]] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


def describe_problems(
    env: Env[Any],
    curriculum: Sequence[Env[Any]] = (),
    rewards: Iterable[str] = (),
    validation: Env[Any] | None = None,
) -> Problems:
    """Hash the problems of a run, and the files behind them.

    Args:
        env: The environment.
        curriculum: Those of the curriculum's phases.
        rewards: Names of the rewards; `package.module:function` is a user's.
        validation: The environment of a loop's validation cell.
    """
    own = [part for part in env.parts.values() if is_own(part)]
    modules = [type(part).__module__ for part in own]
    modules += [name.partition(":")[0] for name in rewards if ":" in name]
    files = {file: path for part in own for file, path in _named_files(part.settings.model_dump(mode="json"))}
    named = {split.value: getattr(env.settings, split.value, None) for split in env.splits}
    splits = {split.value: _fingerprint(env, split) for split in env.splits}
    if validation is not None:
        splits[_VALIDATION] = _fingerprint(validation, Split.OOD_EASY)
    return Problems(
        splits=splits,
        curriculum=[_fingerprint(phase, Split.TRAIN) for phase in curriculum],
        data={file: _hash(path) for file, path in files.items()},
        modules={file: _hash(path) for file, path in loaded_files(modules).items()},
        notes=env.notes,
        sources={split: name for split, name in named.items() if isinstance(name, str)},
    )


def compare_problems(
    saved: Mapping[str, Any], problems: Problems, *, warm_start_done: bool = False
) -> list[ProblemChange]:
    """The problems that are not those in a run's `problems.json`.

    Args:
        saved: The contents of `problems.json`; what it lacks is not compared.
        problems: The problems now.
        warm_start_done: The curriculum is over, so its problems no longer matter.
    """
    found = []
    before = {**saved, **saved.get("splits", {})}  # the splits stood beside the rest in older runs
    for split, now in problems.splits.items():
        if (was := before.get(split, now)) != now:
            source = f" of {problems.sources[split]}" if split in problems.sources else ""
            what = f"the {split} problems{source}{_numbers(was, now)}"
            key = "iterate.validation" if split == _VALIDATION else f"env.settings.{split}"
            found.append(ProblemChange(keys=(key, "env.settings"), what=what))
    phases = [] if warm_start_done else saved.get("curriculum", [])
    for number, (was, now) in enumerate(zip(phases, problems.curriculum, strict=False)):
        if was != now:
            what = f"the problems of warm_start.curriculum[{number}]{_numbers(was, now)}"
            found.append(ProblemChange(keys=("warm_start.curriculum", "env.settings"), what=what))
    for file, now_hash in problems.data.items():
        if saved.get("data", {}).get(file, now_hash) != now_hash:
            found.append(ProblemChange(keys=("env.settings",), what=f"the contents of {file}"))
    return found


def changed_modules(saved: Mapping[str, Any], problems: Problems) -> list[str]:
    """A warning for each of a user's modules that has changed since the run began.

    The problems are the same, or the run would not go on, but checks or rewards may have been mended.
    """
    before = saved.get("modules", saved.get("files", {}))
    return [
        f"warning: {file} has changed since the run began; what was judged before is as it was"
        for file, found in problems.modules.items()
        if before.get(file, found) != found
    ]


def to_json(problems: Problems) -> str:
    """The text of `problems.json`."""
    return json.dumps(asdict(problems), indent=2) + "\n"


def _fingerprint(env: Env[Any], split: Split) -> dict[str, Any]:
    return {"problems": env.num_problems(split), "sha256": env.fingerprint(split)}


def _numbers(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    before, after = was.get("problems"), now.get("problems")
    return f" ({before} then, {after} now)" if before != after else ""


def _named_files(value: Any) -> Iterator[tuple[str, Path]]:
    """Files that texts in a value name, by that text."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _named_files(inner)
    elif isinstance(value, str) and value:
        try:
            if Path(value).is_file():
                yield value, Path(value)
        except (OSError, ValueError):  # a text that is no path
            return


def _hash(path: Path) -> str:
    found = sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest()
