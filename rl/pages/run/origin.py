"""Where a run comes from and what to do with it: commands, revision, versions, machine, times.

In: a `RunRecord`. Out: facts as data for the template.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from rl.pages.figures import Fact
from rl.runs.config_changes import show
from rl.runs.models import BEST
from rl.runs.read import RunRecord
from rl.runs.record import BestModel, Stage
from rl.stats.format import duration, number, percent

_SCRIPTS = ("train", "iterate", "evaluate", "ablate", "report", "rollouts", "bench", "submit")


def next_steps(run: RunRecord) -> list[Fact]:
    """The model's folder, and commands for the viewer and for the same run again."""
    folder = str(run.config.get("output_dir") or "")
    facts = []
    if folder:
        trained = [stage for stage in Stage if run.summary.updates.get(stage)]
        if trained:
            path = str(PurePath(folder) / "models" / trained[-1].value)
            facts.append(Fact(name="Model", text=path, is_code=True))
        if (best := run.summary.best) is not None:
            facts.append(
                Fact(
                    name="Best model",
                    text=str(PurePath(folder) / "models" / BEST),
                    is_code=True,
                    more=f", of update {best.update}: {_judged(best)}",
                )
            )
        facts.append(Fact(name="Read the completions", text=viewer_command([folder]), is_code=True))
    command = stride_command(run.provenance.get("command"))
    if command:
        facts.append(Fact(name="Run it again", text=command, is_code=True))
    return facts


def _judged(best: BestModel) -> str:
    """How the best model was chosen, and its figures."""
    steps = "" if best.steps_per_correct is None else f" at {number(best.steps_per_correct)} steps"
    return (
        f"{percent(best.accuracy)} correct{steps} on {best.num_problems} problems of {best.split} "
        f"(the best by {best.metric})"
    )


def viewer_command(folders: Sequence[str]) -> str:
    """The command that serves the trajectories of some runs."""
    return shlex.join(["stride", "rollouts", *folders])


def stride_command(recorded: object) -> str:
    """A command line as `stride` takes it, from a recorded list of arguments; empty if it is none of Stride's.

    Example: ["train.py", "quickstart", "seed=1"] gives "stride train quickstart seed=1".
    """
    if not isinstance(recorded, list) or not recorded:
        return ""
    program, *arguments = map(str, recorded)
    name = PurePath(program).name
    if name in ("stride", "stride.exe"):
        return shlex.join(["stride", *arguments])
    script = name.removesuffix(".py")
    return shlex.join(["stride", script, *arguments]) if script in _SCRIPTS else ""


def provenance(run: RunRecord) -> list[Fact]:
    """Start, revision, versions, machine and times."""
    about, facts = run.provenance, []
    if about.get("started"):
        facts.append(Fact(name="Started", text=str(about["started"])))
    if about:
        facts.append(Fact(name="Git revision", **_revision(about)))
    model = about.get("model", {})
    if commit := model.get("commit") or model.get("revision"):
        facts.append(Fact(name="Model revision", text=str(commit), is_code=True))
    packages = {"python": about.get("python"), **about.get("packages", {})}
    known = [f"{name} {version}" for name, version in packages.items() if version]
    if known:
        facts.append(Fact(name="Versions", text=", ".join(known)))
    machine = [
        str(value) if key == "system" else f"{value} {key}"
        for key, value in about.get("machine", {}).items()
        if value is not None
    ]
    if machine:
        facts.append(Fact(name="Machine", text=", ".join(machine)))
    facts += [Fact(name="Resumed", text=_resumption(entry)) for entry in about.get("resumed", [])]
    for stage in Stage:
        for verb, times in (("training", run.summary.train_s), ("evaluating", run.summary.eval_s)):
            if stage in times:
                facts.append(Fact(name=f"Time {verb} {stage.label}", text=duration(times[stage])))
    return facts


def _resumption(entry: dict[str, Any]) -> str:
    """When a run was resumed, from where, and what was not as before."""
    updates = entry.get("updates", {})
    where = [f"update {update} of {Stage(stage).label}" for stage, update in updates.items()]
    changed = [f"{one['key']} was {show(one['was'])}, is {show(one['is'])}" for one in entry.get("changed", [])]
    differs = [f"{name} was {was}, is {now}" for name, (was, now) in entry.get("differs", {}).items() if was]
    parts = [str(entry.get("time", "")), *(["from " + " and ".join(where)] if where else [])]
    return "; ".join([", ".join(parts), *changed, *differs, *entry.get("notes", [])])


def _revision(about: dict[str, Any]) -> dict[str, Any]:
    revision, changed = about.get("git_revision"), about.get("git_changed_files")
    if not revision:
        return {"text": "unknown"}
    more = f" with {changed} changed file{'s' * (changed != 1)} on top" if changed else ""
    return {"text": str(revision), "is_code": True, "more": more}
