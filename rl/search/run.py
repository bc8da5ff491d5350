"""A search with one model, in a folder of its own: what `stride search` and evaluations with search do.

::

    search.json        the model, the task, what is searched and how (`rl/runs/analysis.py`)
    search.jsonl       a row for each problem: every completion, state and text
    summary.csv        a row for each method and setting
    merges.csv         the searches with every merge rule
    curves.csv         every method within budgets of tokens
    search.html        the page

`stride search` makes such a folder for any model, `eval.search` one for each stage of a run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs import Config
from envs import Env, Split
from rl.parts import build_parts
from rl.runs.analysis import check_folder, difference, open_folder, read_settings, write_settings
from rl.runs.errors import RunFolderError
from rl.runs.files import set_aside
from rl.runs.forecast import Work
from rl.runs.progress import Progress
from rl.runs.record import Stage
from rl.search.record import ProblemRow, in_order, problem_log, stage_folder
from rl.standalone import NO_TRAINING, free_folder, model_settings, name_of_model, with_model
from rollout.threads import let_threads_sleep

if TYPE_CHECKING:  # imports torch
    from rollout.encoder import Encoder
    from rollout.pools.base import RolloutPool

_NEWER = {"top_p": 1.0, "top_k": None}  # keys of the section `search` that older folders do not have


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
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"search": True})})
    parts = build_parts(config, find_model=checkpoint is None)
    folder = output or free_folder(f"search-{name_of_model(model, checkpoint)}-{config.name}")
    settings = search_settings(config, checkpoint)
    check_folder(folder, "search", settings, resume=resume)

    let_threads_sleep()  # everything that needs no torch is checked
    from rl.opening import opened_model
    from rl.runs.planned_work import search_work

    with (
        opened_model(config, parts, checkpoint) as (loaded, pool, warnings),
        closing(open_folder(folder, "search", settings, config, loaded.commit, resume=resume)),
    ):
        progress = Progress(sys.stderr)
        for warning in warnings:
            progress.say(warning)
        search_into(folder, config, parts.env, loaded.encoder, pool, progress, search_work(config))
    return folder


def search_stage(
    run: Path,
    stage: Stage,
    config: Config,
    env: Env[Any],
    encoder: Encoder,
    pool: RolloutPool,
    progress: Progress,
) -> None:
    """Evaluate a stage of a run by search; goes on where an earlier call with the same model was cut off.

    Args:
        run: Folder of the run.
        stage: The stage; the model of a run that only evaluates is its base.
        config: As for `search_with_model`.
        env: Makes and judges the problems.
        encoder: The model's.
        pool: Holds its weights.
        progress: Shows how far it is.

    Raises:
        GraderError: Graders failed on more completions than allowed.
    """
    from rl.runs.planned_work import search_work

    folder, model = stage_folder(run, stage), run / "models" / stage
    given = with_model(str(model), config) if model.is_dir() else (config.model_copy(update=NO_TRAINING), None)
    settings = search_settings(*given)
    if folder.is_dir() and any(folder.iterdir()) and (why := unlike(folder, settings)):
        aside = set_aside(folder, "replaced")
        progress.say(f"{folder} has {why}: it is kept as {aside.name}, and searched anew")
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder, "search", settings)
    search_into(folder, config, env, encoder, pool, progress, search_work(config, stage))


def unlike(folder: Path, settings: Mapping[str, Any]) -> str:
    """How the search in a folder differs from one with these settings; empty where it can go on.

    Weights are known by their SHA-256 wherever they are, so that a run may be moved.
    """
    try:
        old = read_settings(folder, "search")
    except RunFolderError:
        return "no search.json that can be read"
    if isinstance(search := old.get("search"), dict):
        old = {**old, "search": {**_NEWER, **search}}
    return difference(_without_place(old), _without_place(settings))


def _without_place(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    if settings.get("model_sha256") is None:
        return settings
    found = {key: value for key, value in settings.items() if key not in ("name", "model")}
    policy = found.get("policy")
    if isinstance(policy, dict):
        found["policy"] = {key: value for key, value in policy.items() if key != "model"}
    return found


def search_into(
    folder: Path,
    config: Config,
    env: Env[Any],
    encoder: Encoder,
    pool: RolloutPool,
    progress: Progress,
    work: Work,
) -> None:
    """Solve the problems that a folder has no rows of, then write its tables and page.

    Args:
        folder: Has its settings and perhaps rows.
        config: As for `search_with_model`.
        env: Makes and judges the problems.
        encoder: The model's.
        pool: Holds its weights.
        progress: Shows how far it is.
        work: The work as it names it.

    Raises:
        GraderError: Graders failed on more completions than allowed.
    """
    from rl.pages.search.write import write_page
    from rl.prompt_lengths import fits
    from rl.search.solve import Plan, Solver
    from rl.search.summary import arms, by_merge, curve_table, curves, table

    log = problem_log(folder)
    if note := log.mend():
        progress.say(note)
    solver = Solver(
        pool,
        env,
        encoder,
        Plan(
            splits={Split(name): limit for name, limit in split_limits(config).items()},
            num_problems=config.eval.num_problems,
            problems_per_batch=config.eval.problems_per_batch,
            together=workers(config),
            seed=config.seed,
            search=config.search,
        ),
        max_ungraded=config.rollout.max_ungraded,
        fits=fits(config, encoder),
    )
    rows = solver.whole(log.read())
    log.replace(rows)
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


def search_settings(config: Config, checkpoint: Path | None) -> Mapping[str, Any]:
    """What the rows of a search follow from: one that goes on refuses others.

    Args:
        config: As `with_model` returns it.
        checkpoint: Likewise.
    """
    return {
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


def split_limits(config: Config) -> dict[str, int]:
    """The splits that are solved, each with its limit of tokens for a completion."""
    limits: dict[str, int] = {str(name): limit for name, limit in config.eval.max_new_tokens.items()}
    return {name: limits.get(name, config.rollout.max_new_tokens) for name in config.eval.splits}


def workers(config: Config) -> int:
    """Engine calls that the pool answers at the same time."""
    return config.rollout.num_actors if config.rollout.backend == "ray" else 1
