"""How a config differs from that of the run which it continues, and what each difference means for the run.

In: the text of a run's `config.yaml`, which an older or newer Stride may have written, and the config given
now.
Out: `Change`s by key, each with its `Kind`; keys that the saved config lacks and get today's defaults, and keys
that this version no longer knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from configs import Config


class Kind(StrEnum):
    """What a change of a key means for a run that is resumed."""

    OPERATIONAL = "operational"
    """Where and how it runs, how far it goes, what is measured and kept."""
    ROUNDING = "rounding"
    """The last bits of numbers: the run goes on, not bit for bit."""
    IDENTITY = "identity"
    """What is trained: only if the key is allowed by name."""
    FIXED = "fixed"
    """What the checkpoints are made of: never within a run."""


class _Absent:
    """In place of the value of a key that is not there."""

    def __repr__(self) -> str:
        return "not set"


ABSENT: Final = _Absent()

_OPERATIONAL = (
    "name",
    "output_dir",
    "modules_dir",
    "report_to",
    "sample_tables",
    "trajectories",
    "push_to_hub",
    "eval",
    "grpo.updates",
    "grpo.save_every",
    "grpo.save_minutes",
    "grpo.keep_checkpoints",
    "grpo.max_logprob_diff",
    "expert_iteration.rounds",
    "iterate.rounds",
    "policy.trust_remote_code",
    "rewards.timeout_s",
    "rollout.actor_device",
    "rollout.backend",
    "rollout.num_actors",
    "rollout.cpus_per_actor",
    "rollout.deadline_s",
    "rollout.long_prompts",
    "rollout.max_prompt_tokens",
    "rollout.max_restarts",
    "rollout.max_ungraded",
    "rollout.restart_window_s",
    "rollout.start_deadline_s",
    "search",
    "key_steps.keep_checkpoints",
    "key_steps.save_every",
    "key_steps.save_minutes",
    "warm_start.keep_checkpoints",
    "warm_start.save_every",
    "warm_start.save_minutes",
)
_ROUNDING = (
    "device",
    "threads",
    "tf32",
    "grpo.micro_batch_tokens",
    "key_steps.micro_batch_size",
    "policy.attn_implementation",
    "policy.gradient_checkpointing",
    "rollout.cuda_graphs",
    "rollout.enable_sleep_mode",
    "rollout.gpu_memory_utilization",
    "rollout.gpus_per_actor",
    "rollout.kv_cache_gib",
    "rollout.max_rows",
    "rollout.problems_per_batch",
    "rollout.threads",
    "warm_start.micro_batch_size",
)
_BEFORE = {("expert_iteration", "fresh_problems"): False}
"""What runs did that are older than a key, where that is not today's default: section, key, value."""
_OPTIMIZER = "the state of the optimizer in the checkpoints is that of another one"
_MODEL = "the checkpoints hold weights of that model"
_FIXED = {
    "seed": "the first weights and the order of the problems follow from it",
    "env.name": "a run is trained on one task",
    "policy.gguf_file": _MODEL,
    "policy.load_in_4bit": _MODEL,
    "policy.lora": _MODEL,
    "policy.merge_adapter": _MODEL,
    "policy.model": _MODEL,
    "policy.revision": _MODEL,
    "policy.tiny": _MODEL,
    "grpo.num_iterations": "it decides at which updates a rollout batch ends",
    "grpo.optim": _OPTIMIZER,
    "key_steps.batch_size": "it decides where in the pairs a checkpoint lies",
    "key_steps.optim": _OPTIMIZER,
    "warm_start.optim": _OPTIMIZER,
    "warm_start.batch_size": "it decides where in the demonstrations a checkpoint lies",
}
_SECTIONS = {
    "warm_start": "the warm start",
    "key_steps": "a stage of key steps",
    "grpo": "GRPO",
    "iterate": "a step-skipping loop",
    "expert_iteration": "expert iteration",
}
_WIDTH = 60  # characters of a value in a line


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A key with another value than the run had.

    Example: `Change(key="grpo.learning_rate", was=1e-5, now=2e-5, kind=Kind.IDENTITY)`

    Attributes:
        key: Dotted; an entry of a list goes by its name (`rewards.terms.correct.weight`).
        was: The run's value; `ABSENT` if it has none.
        now: The value given; `ABSENT` likewise.
        kind: What the change means.
        why: Why it is no more than that, or why it is more than its key says; empty otherwise.
    """

    key: str
    was: Any
    now: Any
    kind: Kind
    why: str = ""

    def __str__(self) -> str:
        """One clause."""
        return f"{self.key} was {show(self.was)}, is {show(self.now)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """How the config given differs from the run's.

    Attributes:
        changes: By key.
        new_keys: Keys that this version has and the run's config lacks, with the defaults that fill them in.
        unknown_keys: Keys of the run's config that this version lacks, with their values.
        known: Every key and section of both.
    """

    changes: tuple[Change, ...] = ()
    new_keys: Mapping[str, Any] = field(default_factory=dict)
    unknown_keys: Mapping[str, Any] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    def of(self, *kinds: Kind) -> list[Change]:
        """The changes of some kinds."""
        return [change for change in self.changes if change.kind in kinds]

    def about_versions(self) -> list[str]:
        """Lines about keys that came or went with the version of Stride."""
        lines = []
        if self.new_keys:
            filled = ", ".join(f"{key} ({show(value)})" for key, value in self.new_keys.items())
            lines.append(f"keys that are newer than the run have their defaults: {filled}")
        if self.unknown_keys:
            gone = ", ".join(
                f"{key} ({show(value)}{self._hint(key)})" for key, value in self.unknown_keys.items()
            )
            lines.append(f"keys of the run that this version of Stride does not have: {gone}")
        return lines

    def _hint(self, key: str) -> str:
        section, _, name = key.rpartition(".")
        beside = [one.rpartition(".")[2] for one in self.new_keys if one.rpartition(".")[0] == section]
        close = get_close_matches(name, beside, n=1, cutoff=0.5)
        return f"; now {close[0]}?" if close else ""


def compare_configs(saved: Mapping[str, Any], config: Config) -> Differences:
    """Compare the config of a run with the one given.

    Args:
        saved: The run's `config.yaml` as plain data.
        config: The config given.
    """
    given = config.model_dump(mode="json")
    was, unknown = _completed(saved)
    changes = tuple(
        Change(key=key, was=before, now=now, kind=kind, why=why)
        for key, before, now in _differences(was, given)
        for kind, why in [_kind_of(key, before, now)]
    )
    changed = {change.key for change in changes}
    new = {key: value for key, value in _added(saved, was) if not _within(key, changed)}
    known = frozenset({*_keys(was), *_keys(given), *unknown})
    return Differences(changes=changes, new_keys=new, unknown_keys=unknown, known=known)


def is_below(key: str, names: object) -> bool:
    """Whether a key is one of the names or lies in the section that one of them names."""
    assert isinstance(names, tuple | list | set | frozenset | dict)
    return any(key == name or key.startswith(f"{name}.") for name in names)


def show(value: Any) -> str:
    """A value as a line shows it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _kind_of(key: str, was: Any, now: Any) -> tuple[Kind, str]:
    if key in _SECTIONS:
        if key == "grpo" and was is None:
            return Kind.OPERATIONAL, ""
        return Kind.FIXED, f"whether there is {_SECTIONS[key]} is part of what the run is"
    for name, why in _FIXED.items():
        if is_below(key, (name,)):
            return Kind.FIXED, why
    if is_below(key, _OPERATIONAL):
        return Kind.OPERATIONAL, ""
    if is_below(key, _ROUNDING):
        return Kind.ROUNDING, ""
    return Kind.IDENTITY, ""


def _completed(saved: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """A saved config with today's defaults for keys that it lacks; and its keys that this version lacks.

    In place of a default stands what runs did before there was the key, if that differs (`_BEFORE`).
    A value that this version no longer takes stays as it is. Where no whole config can be made of it, nothing
    is filled in.
    """
    data = deepcopy(dict(saved))
    for (section, key), value in _BEFORE.items():
        if isinstance(found := data.get(section), dict):
            found.setdefault(key, value)
    unknown: dict[str, Any] = {}
    refused: list[tuple[tuple[str | int, ...], Any]] = []
    while True:
        try:
            whole: dict[str, Any] = Config.model_validate(data).model_dump(mode="json")
        except ValidationError as error:
            removed = [
                (place, _remove(data, place), item["type"])
                for item in error.errors()
                if (place := _place(data, item["loc"]))
            ]
            if not removed:
                return saved, unknown
            for place, value, kind in removed:
                if kind == "extra_forbidden":
                    unknown[".".join(map(str, place))] = value
                else:
                    refused.append((place, value))
        else:
            for place, value in refused:
                _put(whole, place, value)
            return whole, dict(sorted(unknown.items()))


def _place(data: Any, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The place of one of pydantic's errors in the data, without names of alternatives; () if nowhere."""
    place: list[str | int] = []
    node: Any = data
    for part in location:
        if _has(node, part):
            node = node[part]
            place.append(part)
    return tuple(place)


def _remove(data: Any, place: tuple[str | int, ...]) -> Any:
    *outer, last = place
    node: Any = data
    for part in outer:
        node = node[part] if _has(node, part) else {}
    return node.pop(last) if _has(node, last) else ABSENT


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def _put(data: Any, place: tuple[str | int, ...], value: Any) -> None:
    *outer, last = place
    for part in outer:
        if not _has(data, part):
            return
        data = data[part]
    if isinstance(data, dict):
        data[str(last)] = value


def _differences(was: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    was, now = _named(was, now), _named(now, was)
    if isinstance(was, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*was, *now]):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(was.get(name, ABSENT), now.get(name, ABSENT), inner)
    elif was != now:
        yield key, was, now


def _named(value: Any, beside: Any) -> Any:
    """A list of named sections as a mapping by name, if what it is compared with is one too."""
    both = [value, beside]
    if all(isinstance(one, list) for one in both) and all(_names(one) is not None for one in both):
        return {str(name): entry for name, entry in zip(_names(value) or (), value, strict=True)}
    return value


def _names(entries: Any) -> list[str] | None:
    if not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        return None
    names = [str(entry["name"]) for entry in entries]
    return names if names and len(set(names)) == len(names) else None


def _added(saved: Any, whole: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The keys that filling in has added, sections as a whole."""
    saved, whole = _named(saved, whole), _named(whole, saved)
    if isinstance(saved, dict) and isinstance(whole, dict):
        for name, value in whole.items():
            inner = f"{key}.{name}" if key else str(name)
            if name not in saved:
                yield inner, value
            else:
                yield from _added(saved[name], value, inner)


def _keys(value: Any, key: str = "") -> Iterator[str]:
    """Every key and section."""
    if key:
        yield key
    names = _names(value) if isinstance(value, list) else None
    if names is not None:
        value = dict(zip(names, value, strict=True))
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _keys(inner, f"{key}.{name}" if key else str(name))


def _within(key: str, changed: set[str]) -> bool:
    return is_below(key, changed) or any(one.startswith(f"{key}.") for one in changed)
