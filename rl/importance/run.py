"""The analysis of one model, in a folder of its own (`rl/runs/analysis.py`): what `stride importance` does."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from configs import Config, ConfigError
from envs import Split
from rl.parts import build_parts
from rl.runs.analysis import check_folder, open_folder
from rl.runs.forecast import Kind, Work
from rl.runs.progress import Progress
from rl.standalone import free_folder, model_settings, name_of_model, sampling_settings, with_model
from rollout.threads import let_threads_sleep


def analyse_model(
    model: str,
    config: Config,
    *,
    split: str,
    num_problems: int,
    num_samples: int,
    accuracy: tuple[float, float],
    num_continuations: int,
    output: Path | None = None,
    resume: bool = False,
) -> Path:
    """Analyse the step importance of a model on problems of the config's task.

    Args:
        model: Model or adapter folder, hub id, or "config" for the config's own policy.
        config: Its `env`, `policy`, `prompt`, `rollout`, `eval` and `seed` are used.
        split: The split; candidates are its first `eval.num_problems` problems.
        num_problems: Traces to analyse.
        num_samples: Samples of each candidate, for its accuracy.
        accuracy: The band of accuracies, ends included.
        num_continuations: Continuations from each boundary.
        output: The folder. None: the next free one of `runs/importance-<model>-<config>`, `-2` and so on.
        resume: Go on with what is in `output`.

    Returns:
        The folder.

    Raises:
        ConfigError: The task has no such split, or a setting does not fit the config.
        PolicyError: The model cannot be found or used.
        RunFolderError: The folder cannot be used, or holds another analysis.
        GraderError: Graders failed on more completions than allowed.
    """
    config, checkpoint = with_model(model, config)
    parts = build_parts(config, find_model=checkpoint is None)
    if Split(split) not in parts.env.splits:
        raise ConfigError(f"--split {split}: the task has {', '.join(parts.env.splits)}")
    size = parts.env.num_problems(Split(split))
    candidates = min(config.eval.num_problems, size or config.eval.num_problems)
    plan_values: dict[str, Any] = {
        "split": split,
        "num_problems": num_problems,
        "num_candidates": candidates,
        "num_samples": num_samples,
        "accuracy": list(accuracy),
        "num_continuations": num_continuations,
        "problems_per_batch": config.eval.problems_per_batch,
        "seed": config.seed,
    }
    sampling = sampling_settings(config, split)
    folder = output or free_folder(f"importance-{name_of_model(model, checkpoint)}-{config.name}")
    settings = {
        **model_settings(config, checkpoint),
        **plan_values,
        **sampling,
        "env": config.env.model_dump(mode="json"),
        "prompt": config.prompt.model_dump(mode="json"),
        "max_prompt_tokens": config.rollout.max_prompt_tokens,
    }
    check_folder(folder, "importance", settings, resume=resume)

    let_threads_sleep()  # everything that needs no torch is checked
    from rl.importance.analyse import Analysis, Plan
    from rl.importance.record import ProblemLog, ProblemRow, line_table
    from rl.opening import opened_model
    from rl.pages.importance.write import write_page
    from rl.prompt_lengths import fits
    from rollout.types import Sampling

    with (
        opened_model(config, parts, checkpoint) as (loaded, pool, warnings),
        closing(open_folder(folder, "importance", settings, config, loaded.commit, resume=resume)),
    ):
        log, progress = ProblemLog(folder), Progress(sys.stderr)
        log.mend()
        done = log.read()
        for warning in warnings:
            progress.say(warning)
        analysis = Analysis(
            pool,
            parts.env,
            loaded.encoder,
            Plan(**{**plan_values, "split": Split(split), "accuracy": accuracy}),
            Sampling(**sampling),
            max_ungraded=config.rollout.max_ungraded,
            fits=fits(config, loaded.encoder),
        )
        num_traces, num_seen = sum(not row.why_not for row in done), len(done)
        work = Work(label="step importance", kind=Kind.TRACE, units=num_problems)
        with progress.showing(work, done=num_traces) as task:

            def take(row: ProblemRow) -> None:
                nonlocal num_traces, num_seen
                log.append(row)
                num_seen += 1
                num_traces += not row.why_not
                task.advance(num_traces, [f"{num_seen:,} of {candidates:,} problems sampled"])

            analysis.run(done, take)
        rows = log.read()
        table = line_table(rows)
        table.to_csv(folder / "lines.csv", index=False)
        table.to_parquet(folder / "lines.parquet", index=False)
        write_page(folder)
    return folder
