"""Whether a run may be continued with a config and problems: what is trained changes only by name.

A run that is made longer must end with the weights of one that was as long from the start. Where a key that may
usually change would break that, it counts as one that decides what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from configs import Config
from rl.runs import provenance
from rl.runs.checkpoints import checkpoints, latest_checkpoint
from rl.runs.config_changes import Change, Differences, Kind, compare_configs, is_below
from rl.runs.early_stopping import is_over
from rl.runs.errors import RunFolderError
from rl.runs.problems import NAME as PROBLEMS
from rl.runs.problems import ProblemChange, Problems, changed_modules, compare_problems
from rl.runs.record import SECTIONS, Stage, Summary
from rl.runs.recover import check_formats, read_or_empty, recovered_summary

_NEW_RUN = "start a new run in another output_dir"
_ALLOW = "--allow-change"
_COMPARED = ("eval.splits", "eval.num_problems", "eval.max_new_tokens", "iterate.validation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumption:
    """How a run that is resumed differs from what it was.

    Attributes:
        config: Of the config.
        problems: Problems that have changed, each allowed by name.
        warnings: Lines about users' modules.
    """

    config: Differences = field(default_factory=Differences)
    problems: tuple[ProblemChange, ...] = ()
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What has changed, a line each."""
        said = {
            Kind.OPERATIONAL: "",
            Kind.ROUNDING: "; the run goes on, not bit for bit",
            Kind.IDENTITY: f"; allowed by {_ALLOW}",
            Kind.FIXED: "",
        }
        return [
            *[f"changed: {change}{said[change.kind]}" for change in self.config.changes],
            *[f"changed: {change.what}; allowed by {_ALLOW}" for change in self.problems],
            *self.config.about_versions(),
            *self.warnings,
        ]

    def notes(self) -> list[str]:
        """What of it is not in the list of changed keys."""
        return self.lines()[len(self.config.changes) :]

    def changes(self, config: Config) -> list[Change]:
        """The changed keys; for changed problems, the key that stands for them with its value."""
        values = dict(_values(config.model_dump(mode="json")))
        keys = [change.keys[0] for change in self.problems]
        return [
            *self.config.changes,
            *[Change(key=key, was=None, now=values.get(key), kind=Kind.IDENTITY) for key in keys],
        ]


def check_resumable(
    path: Path, config: Config, *, problems: Problems | None = None, allow: Sequence[str] = ()
) -> Resumption:
    """Refuse to continue a run with another config, other problems, or without its checkpoint.

    Args:
        path: Folder of the run.
        config: The config given now.
        problems: Its problems; None: they are not compared.
        allow: Keys that may change though they decide what is trained; a section allows the keys in it.

    Raises:
        RunFolderError: Names what differs and what to do.
    """
    saved = _saved_config(path)
    check_formats(path)
    summary = recovered_summary(path)
    facts = read_or_empty(path / provenance.NAME)
    found = _weighed(compare_configs(saved, config), config, summary)
    other = _other_problems(path, problems, summary)
    _check_allowed(allow, found, other, config, facts)
    if fixed := found.of(Kind.FIXED):
        refused = "; ".join(f"{change} ({change.why})" for change in fixed)
        raise RunFolderError(
            f"--resume: a run cannot change in these keys: {refused}. Give the same values, or {_NEW_RUN}"
        )
    if changed := [one for one in found.of(Kind.IDENTITY) if not is_below(one.key, allow)]:
        refused = "; ".join(f"{change}{f' ({change.why})' if change.why else ''}" for change in changed)
        flags = " ".join(f"{_ALLOW} {change.key}" for change in changed)
        raise RunFolderError(
            f"--resume: the config differs from the run in {path} in what is trained: {refused}. Give the same "
            f"values, allow the change by name ({flags}), or {_NEW_RUN}"
        )
    if wrong := [one for one in other if not _is_allowed(one, allow)]:
        refused = "; ".join(one.what for one in wrong)
        raise RunFolderError(
            f"--resume: {refused} are not those the run in {path} began with; restore them, allow the "
            "change by "
            f"name ({_ALLOW} {wrong[0].keys[0]}), or {_NEW_RUN}"
        )
    _check_extension(path, config, summary)
    warnings = () if problems is None else changed_modules(read_or_empty(path / PROBLEMS), problems)
    return Resumption(config=found, problems=tuple(other), warnings=tuple(warnings))


def _saved_config(path: Path) -> Mapping[str, Any]:
    file = path / "config.yaml"
    try:
        saved = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        saved, reason = None, type(error).__name__
    else:
        reason = f"it holds {type(saved).__name__}"
    if not isinstance(saved, dict):
        raise RunFolderError(
            f"--resume: {file} cannot be read ({reason}), so the run's config is unknown; restore it, or "
            f"{_NEW_RUN}"
        )
    return saved


def _weighed(found: Differences, config: Config, summary: Summary) -> Differences:
    """The differences, with those that mean more here than their key says."""
    has_rounds = config.iterate is not None or config.expert_iteration is not None
    more = dict(_other_weights({change.key: change for change in found.changes}, config))
    changes = []
    for change in found.changes:
        if change.key in more:
            change = replace(change, kind=Kind.IDENTITY, why=more[change.key])
        elif has_rounds and is_below(change.key, _COMPARED):
            change = replace(change, kind=Kind.FIXED, why="all rounds are compared on the same problems")
        elif config.expert_iteration is not None and is_below(change.key, ("search",)):
            change = replace(change, kind=Kind.FIXED, why="all rounds search alike")
        elif change.kind is Kind.IDENTITY and (stage := _trained_before_grpo(change.key, summary)) is not None:
            named = "the warm start has" if stage is Stage.WARM else f"{stage.label} have"
            change = replace(change, kind=Kind.FIXED, why=f"{named} been trained")
        changes.append(change)
    return replace(found, changes=tuple(changes))


def _trained_before_grpo(key: str, summary: Summary) -> Stage | None:
    """The stage before GRPO to whose section a key belongs, if that stage has been trained."""
    for stage, section in SECTIONS.items():
        if stage is not Stage.GRPO and is_below(key, (section,)) and summary.updates.get(stage, 0):
            return stage
    return None


def _other_weights(changed: Mapping[str, Change], config: Config) -> Iterator[tuple[str, str]]:
    """Keys that may usually change and would lead to other weights here, each with the reason."""
    if (longest := changed.get("rollout.max_prompt_tokens")) is not None and longest.now < longest.was:
        yield longest.key, "prompts that were let in before would be skipped; it may only rise"
    grpo = config.grpo
    if grpo is None or "grpo" in changed:
        return
    updates = changed.get("grpo.updates")
    if updates is not None and grpo.lr_schedule != "constant":
        yield (
            updates.key,
            f"with grpo.lr_schedule '{grpo.lr_schedule}' the learning rate of every update depends on it",
        )


def _other_problems(path: Path, problems: Problems | None, summary: Summary) -> list[ProblemChange]:
    if problems is None:
        return []
    done = Stage.WARM in summary.updates
    return compare_problems(read_or_empty(path / PROBLEMS), problems, warm_start_done=done)


def _is_allowed(change: ProblemChange, allow: Sequence[str]) -> bool:
    return any(is_below(key, change.keys) or is_below(change.keys[0], (key,)) for key in allow)


def _check_allowed(
    allow: Sequence[str],
    found: Differences,
    other: Sequence[ProblemChange],
    config: Config,
    facts: Mapping[str, Any],
) -> None:
    """Refuse a key that names nothing, or nothing that has changed.

    The same command may be given again, as a scheduler does: a change that an earlier resumption made counts.
    """
    keys = {change.key for change in found.changes}
    for key in allow:
        if is_below(key, keys) or any(is_below(one, (key,)) for one in keys):
            continue
        if any(_is_allowed(one, (key,)) for one in other):
            continue
        if key not in found.known:
            close = get_close_matches(key, found.known, n=1, cutoff=0.6)
            hint = f"; did you mean '{close[0]}'?" if close else "; give a dotted key of the config"
            raise RunFolderError(f"{_ALLOW}: unknown key '{key}'{hint}")
        if not provenance.was_allowed(facts, key, dict(_values(config.model_dump(mode="json")))):
            raise RunFolderError(f"{_ALLOW} {key}: it has not changed in this run; leave it out")


def _values(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _values(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict) and "name" in entry:
                yield from _values(entry, f"{key}.{entry['name']}")


def _check_extension(path: Path, config: Config, summary: Summary) -> None:
    """Refuse to make a stage longer whose checkpoint is gone: it would start at update 1 again."""
    if summary.stopped is not None and is_over(config.eval, summary.best, summary.stopped):
        return
    for stage, name in SECTIONS.items():
        section, done = getattr(config, name), summary.updates.get(stage, 0)
        if section is not None and 0 < done < section.updates and latest_checkpoint(path, stage) is None:
            raise RunFolderError(
                f"--resume: {stage.label} has been trained for {done} updates and cannot go on to "
                f"{section.updates}: no complete checkpoint is in {checkpoints(path, stage)}; restore it, or "
                f"{_NEW_RUN}"
            )
