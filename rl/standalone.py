"""Evaluation of one model outside a run: what `stride evaluate` does.

In: a model and a config. Out: the folder of a run that only evaluates, with completions, results and report, so
that the viewer and comparisons read it like any other run.
"""

from __future__ import annotations

import re
import sys
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from configs import Config, ConfigError
from rl.parts import build_parts
from rl.runs.folder import check_run_folder, open_run
from rl.runs.forecast import Kind, Work
from rl.runs.manifest import fingerprint
from rl.runs.progress import Progress
from rl.runs.record import Stage
from rollout.threads import let_threads_sleep

NO_TRAINING: dict[str, Any] = dict.fromkeys(("warm_start", "key_steps", "grpo", "iterate", "expert_iteration"))
"""What a config says of training, left out."""


def evaluate_model(
    model: str, config: Config, *, output: Path | None = None, out_file: Path | None = None
) -> Path:
    """Evaluate a model on the config's splits.

    Args:
        model: Model or adapter folder, hub id, or "config" for the config's own policy.
        config: Its `env`, `policy`, `prompt`, `rollout`, `eval` and `seed` are used.
        output: A new folder for completions, results and report. None: the next free one of
            `runs/eval-<model>-<config>`, `-2`, `-3` and so on.
        out_file: The file that the caller will write; checked before the work starts.

    Returns:
        The folder.

    Raises:
        ConfigError: `output` or `out_file` exists, or `out_file` cannot be written.
        PolicyError: The model cannot be found or used.
        RunFolderError: The folder cannot be written.
    """
    if out_file is not None and (out_file.exists() or not out_file.parent.is_dir()):
        reason = "already exists" if out_file.exists() else "is in a folder that does not exist"
        raise ConfigError(f"--json {out_file} {reason}; give another file")
    if output is not None and output.exists():
        raise ConfigError(f"--output {output} already exists; give a new folder")
    checkpoint = Path(model) if Path(model).is_dir() else None
    if checkpoint is None and model != "config":
        config = config.model_copy(update={"policy": config.policy.model_copy(update={"model": model})})
    parts = build_parts(config, find_model=checkpoint is None)
    recorded = _as_run(model, config, output, checkpoint)
    check_run_folder(recorded, resume=False, overwrite=False)

    let_threads_sleep()
    import torch  # everything that needs none is checked

    from rl.build import build_policy, build_pool, check_backends, check_lengths, checked_memory
    from rl.evaluate import evaluate, num_completions
    from rl.evaluation_files import write_evaluation
    from rl.pages.run.write import write_report
    from rl.prompt_lengths import fits
    from rl.runs.quiet import quiet_libraries
    from rl.search.run import search_stage

    check_backends(config)
    quiet_libraries()
    torch.set_num_threads(config.threads)
    policy = build_policy(config, parts, checkpoint)
    warnings = check_lengths(recorded, parts, policy)
    pool = build_pool(config, parts, policy, checked_memory(recorded, policy))
    work = Work(label="evaluation", kind=Kind.COMPLETION, units=num_completions(config))
    run = open_run(recorded, resume=False, overwrite=False, model_commit=policy.commit)
    with closing(pool), closing(run) as folder:
        started, progress = time.perf_counter(), Progress(sys.stderr)
        for warning in warnings:
            progress.say(warning)
        with progress.showing(work) as task:
            evaluation = evaluate(
                pool,
                config,
                parts.env,
                fits=fits(config, policy.encoder),
                on_batch=lambda split, done: task.advance(done, [f"split {split}"]),
            )
        if config.eval.search:
            search_stage(folder.path, Stage.BASE, recorded, parts.env, policy.encoder, pool, progress)
        seconds = time.perf_counter() - started
        write_evaluation(folder, recorded, Stage.BASE, evaluation, policy.encoder, seconds=seconds)
        write_report(folder.path)
        return folder.path


def _as_run(model: str, config: Config, output: Path | None, checkpoint: Path | None) -> Config:
    """The config of a run that evaluates this model and trains nothing."""
    folder = output or free_folder(f"eval-{name_of_model(model, checkpoint)}-{config.name}")
    policy = config.policy
    if checkpoint is not None:
        policy = policy.model_copy(update={"model": str(checkpoint.absolute())})
    changed = {"policy": policy, **NO_TRAINING}
    return config.model_copy(update={**changed, "name": _slug(folder.name), "output_dir": str(folder)})


def with_model(model: str, config: Config) -> tuple[Config, Path | None]:
    """The config with a model that is given as its policy, and with nothing to train.

    Returns:
        The config, and the folder of the model; None for one that is loaded by name.
    """
    checkpoint = Path(model) if Path(model).is_dir() else None
    policy = config.policy
    if checkpoint is not None:
        policy = policy.model_copy(update={"model": str(checkpoint.absolute())})
    elif model != "config":
        policy = policy.model_copy(update={"model": model})
    return config.model_copy(update={"policy": policy, **NO_TRAINING}), checkpoint


def model_settings(config: Config, checkpoint: Path | None) -> dict[str, Any]:
    """What says which model samples, and with what engine: a command that goes on refuses another.

    Args:
        config: As `with_model` returns it.
        checkpoint: Likewise.
    """
    folder = Path(config.policy.model)
    return {
        "name": name_of_model(config.policy.model, checkpoint),
        "model": config.policy.model,
        "model_sha256": fingerprint(folder) if folder.is_dir() else None,
        "policy": config.policy.model_dump(mode="json"),
        "engine": config.rollout.engine,
    }


def sampling_settings(config: Config, split: str) -> dict[str, Any]:
    """How the samples of an evaluation are drawn on a split: the fields of `Sampling`, from the section `eval`.

    Args:
        config: The config.
        split: The split.
    """
    evaluation = config.eval
    limits: dict[str, int] = {str(name): limit for name, limit in evaluation.max_new_tokens.items()}
    return {
        "temperature": evaluation.temperature,
        "top_p": evaluation.top_p,
        "top_k": evaluation.top_k,
        "max_new_tokens": limits.get(split, config.rollout.max_new_tokens),
    }


def name_of_model(model: str, checkpoint: Path | None) -> str:
    """A short name of a model: `quickstart-grpo` for `runs/quickstart/models/grpo`, else the end of its id."""
    if checkpoint is None:
        return model.rpartition("/")[2]
    path = checkpoint.absolute()
    return f"{path.parents[1].name}-{path.name}" if path.parent.name == "models" else path.name


def free_folder(name: str) -> Path:
    """The first folder in `runs/` of this name, `-2`, `-3` and so on that does not exist yet."""
    paths = (Path("runs") / f"{_slug(name)}{'' if n == 1 else f'-{n}'}" for n in count(1))
    return next(path for path in paths if not path.exists())


def _slug(name: str) -> str:
    """The name with what a run's name may not hold replaced."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".") or "eval"
