"""A search with one model, in a folder of its own (`rl/runs/analysis.py`): what `stride search` does.

::

    search.jsonl       a row for each problem: every completion, state and text
    summary.csv        a row for each method and setting
    merges.csv         the searches with every merge rule
    curves.csv         every method within budgets of tokens
    search.html        the page
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from configs import Config, ConfigError
from envs import Env, Split
from rl.parts import build_parts
from rl.runs.analysis import check_folder, open_folder
from rl.runs.forecast import Kind, Work
from rl.runs.progress import Progress
from rl.search.record import VERIFIED_STATES, ProblemRow, in_order, problem_log
from rl.standalone import free_folder, model_settings, name_of_model, with_model
from rollout.threads import let_threads_sleep


def search_with_model(model: str, config: Config, *, output: Path | None = None, resume: bool = False) -> Path:
    """Solve the problems of a config with a model and every method of search.

    Args:
        model: Model or adapter folder, hub id, or "config" for the config's own policy.
        config: Its `search`, `env`, `policy`, `prompt`, `rollout`, `eval` and `seed` are used.
        output: The folder. None: the next free one of `runs/search-<model>-<config>`, `-2` and so on.
        resume: Go on with what is in `output`.

    Returns:
        The folder.

    Raises:
        ConfigError: A setting does not fit the task.
        PolicyError: The model cannot be found or used.
        RunFolderError: The folder cannot be used, or holds another search.
        GraderError: Graders failed on more completions than allowed.
    """
    config, checkpoint = with_model(model, config)
    samples = {"num_samples": config.search.num_samples}  # memory is stated by it
    config = config.model_copy(update={"eval": config.eval.model_copy(update=samples)})
    parts = build_parts(config, find_model=checkpoint is None)
    check_search(config, parts.env)
    folder = output or free_folder(f"search-{name_of_model(model, checkpoint)}-{config.name}")
    settings = {
        **model_settings(config, checkpoint),
        "splits": split_limits(config),
        "num_problems": config.eval.num_problems,
        "problems_per_batch": config.eval.problems_per_batch,
        "seed": config.seed,
        "search": config.search.model_dump(mode="json"),
        "env": config.env.model_dump(mode="json"),
        "prompt": config.prompt.model_dump(mode="json"),
        "max_prompt_tokens": config.rollout.max_prompt_tokens,
    }
    check_folder(folder, "search", settings, resume=resume)

    let_threads_sleep()  # everything that needs no torch is checked
    from rl.opening import opened_model
    from rl.pages.search.write import write_page
    from rl.prompt_lengths import fits
    from rl.search.solve import Plan, Solver
    from rl.search.summary import arms, by_merge, curve_table, curves, table

    with (
        opened_model(config, parts, checkpoint) as (loaded, pool, warnings),
        closing(open_folder(folder, "search", settings, config, loaded.commit, resume=resume)),
    ):
        log, progress = problem_log(folder), Progress(sys.stderr)
        for warning in warnings:
            progress.say(warning)
        if note := log.mend():
            progress.say(note)
        solver = Solver(
            pool,
            parts.env,
            loaded.encoder,
            Plan(
                splits={Split(name): limit for name, limit in split_limits(config).items()},
                num_problems=config.eval.num_problems,
                problems_per_batch=config.eval.problems_per_batch,
                together=workers(config),
                seed=config.seed,
                search=config.search,
            ),
            max_ungraded=config.rollout.max_ungraded,
            fits=fits(config, loaded.encoder),
        )
        rows = solver.whole(log.read())
        log.replace(rows)
        work = Work(label="search", kind=Kind.PROBLEM, units=solver.num_problems)
        with progress.showing(work, done=len(rows)) as task:

            def take(new: Sequence[ProblemRow]) -> None:
                log.append(*new)
                rows.extend(new)
                right = sum(any(one.correct for one in row.responses) for row in rows)
                task.advance(len(rows), [f"{right / len(rows):.0%} with a right completion"])

            solver.run({row.key for row in rows}, take)
        rows = in_order(solver.whole(rows))
        log.replace(rows)
        depth, merge = config.search.depth, config.search.merge
        table(arms(rows, merge, depth=depth)).to_csv(folder / "summary.csv", index=False)
        table(by_merge(rows, depth=depth)).to_csv(folder / "merges.csv", index=False)
        curve_table(curves(rows, merge)).to_csv(folder / "curves.csv", index=False)
        write_page(folder)
    return folder


def check_search(config: Config, env: Env[Any]) -> None:
    """Refuse a search without problems, and strategies that the task has no rules for.

    Raises:
        ConfigError: Names the key and what to do.
    """
    if not config.eval.splits:
        raise ConfigError("eval.splits is empty, so there is nothing to solve; name a split")
    unchecked = [part.name for part in env.parts.values() if not part.checks_steps]
    if VERIFIED_STATES in config.search.strategies and unchecked:
        raise ConfigError(
            f"search.strategies has {VERIFIED_STATES}, but the task '{unchecked[0]}' does not check steps; "
            "leave it out"
        )


def split_limits(config: Config) -> dict[str, int]:
    """The splits that are solved, each with its limit of tokens for a completion."""
    limits: dict[str, int] = {str(name): limit for name, limit in config.eval.max_new_tokens.items()}
    return {name: limits.get(name, config.rollout.max_new_tokens) for name in config.eval.splits}


def workers(config: Config) -> int:
    """Engine calls that the pool answers at the same time."""
    return config.rollout.num_actors if config.rollout.backend == "ray" else 1
