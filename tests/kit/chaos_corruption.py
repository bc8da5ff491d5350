"""Every file that a resumed run reads, damaged in every way: found, named, and never trained on.

Two small runs, one of them with LoRA, are trained; the newest checkpoint of each stage is then damaged file by
file. Some of the runs go on and must end with the weights of one that was never damaged.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rl.runs.checkpoints import checkpoint_to_resume, checkpoints
from rl.runs.manifest import find_damage
from rl.runs.record import Stage
from tests.kit.damage import DAMAGES, damaged, put_back
from tests.kit.damaged_runs import LORA, train_in, weights
from tests.kit.finding import Finding, share

_TIMES = {"flip": 50, "truncate": 20, "zero_tail": 20}
_KINDS = {"all weights": (), "LoRA": (LORA,)}


def run(scale: float) -> Iterator[Finding]:
    """Two lines for each kind of run."""
    for kind, overrides in _KINDS.items():
        with tempfile.TemporaryDirectory(prefix="chaos-") as name:
            folder = Path(name) / "run"
            train_in(folder, *overrides)
            for stage in (Stage.WARM, Stage.GRPO):
                yield damage_checkpoint(folder, stage, kind, scale)
            for model in ("warm", "grpo", "best"):
                yield damage_model(folder / "models" / model, kind, scale)
            yield go_on(folder, kind, overrides, scale)


def damage_checkpoint(folder: Path, stage: Stage, kind: str, scale: float) -> Finding:
    """Damage each file of a stage's newest checkpoint; a resumed run must take the one before."""
    before, newest = sorted(checkpoints(folder, stage).iterdir(), key=lambda path: int(path.name[11:]))[-2:]
    set_aside = newest.with_name(f"{newest.name}.damaged")
    trials, failures = 0, []
    for name, damage, where in _trials(newest, scale):
        whole = (newest / name).read_bytes()
        if not damaged(damage, newest / name, before, where):
            continue
        said: list[str] = []
        used = checkpoint_to_resume(folder, stage, said.append)
        trials += 1
        if used != before or not said or not set_aside.is_dir():
            failures.append(f"{kind}, {stage}: {damage} of {name} at {where:.3f}: {used}, {said}")
        else:
            set_aside.rename(newest)
        put_back(newest / name, whole)
    if checkpoint_to_resume(folder, stage, print) != newest:
        failures.append(f"{kind}, {stage}: the checkpoint does not verify once it is whole again")
    return Finding(
        test=f"damaged checkpoint, {stage.label}, {kind}",
        size=trials,
        figures=f"{trials - len(failures)} of {trials} found, said and set aside, the one before used",
        failures=tuple(failures),
    )


def damage_model(model: Path, kind: str, scale: float) -> Finding:
    """Damage each file of a saved model; without its manifest one is like those of other programs."""
    other = model.with_name("warm" if model.name != "warm" else "grpo")
    trials, failures = 0, []
    for name, damage, where in _trials(model, scale):
        whole = (model / name).read_bytes()
        if name == "stride_manifest.json" or not damaged(damage, model / name, other, where):
            continue
        trials += 1
        if not find_damage(model).startswith(name):
            failures.append(f"{kind}, {model.name}: {damage} of {name} at {where:.3f}: {find_damage(model)}")
        put_back(model / name, whole)
    return Finding(
        test=f"damaged model, models/{model.name}, {kind}",
        size=trials,
        figures=f"{trials - len(failures)} of {trials} found and named",
        failures=tuple(failures),
    )


def go_on(folder: Path, kind: str, overrides: tuple[str, ...], scale: float) -> Finding:
    """Make a run longer whose newest checkpoint is damaged; its weights are those of one that was as long."""
    longer = (*overrides, "grpo.updates=8")
    whole = folder.with_name("whole")
    train_in(whole, *longer)
    newest = checkpoints(folder, Stage.GRPO) / "checkpoint-6"
    names = _files(newest)
    names = random.Random(1).sample(names, share(len(names), scale))
    failures = []
    for number, name in enumerate(names):
        resumed = folder.with_name(f"resumed{number}")
        shutil.copytree(folder, resumed)
        parent = checkpoints(resumed, Stage.GRPO)
        kinds = list(DAMAGES)[number % len(DAMAGES) :] + list(DAMAGES)
        file, other = parent / "checkpoint-6" / name, parent / "checkpoint-4"
        damage = next(damage for damage in kinds if damaged(damage, file, other, 0.5))
        said = train_in(resumed, *longer, resume=True)
        if "checkpoint-6 is damaged" not in said or weights(resumed) != weights(whole):
            failures.append(f"{kind}: {damage} of {name}: other weights, or not said: {said[:300]}")
        shutil.rmtree(resumed)
    return Finding(
        test=f"resumed with a damaged newest checkpoint, {kind}",
        size=len(names),
        figures=f"{len(names) - len(failures)} of {len(names)} end with the weights of one left alone",
        failures=tuple(failures),
    )


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "README.md")


def _trials(folder: Path, scale: float) -> Iterator[tuple[str, str, float]]:
    """Every file but the model card with every damage, at random places where there are several."""
    places = random.Random(0)
    for name in _files(folder):
        for damage in DAMAGES:
            for _ in range(share(_TIMES[damage], scale) if damage in _TIMES else 1):
                yield name, damage, places.random()
