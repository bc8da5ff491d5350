"""Guesses at needless steps, measured on the samples of one model: what `stride needless` does.

::

    problems --samples--> right traces --facts of lines--> truth
                              '--probabilities, continuations--> guesses --> precision and recall of each rule

In a folder of its own (`rl/runs/analysis.py`)::

    needless.jsonl     a row for each problem: the lines of its right samples
    lines.csv          the same, a row for each line
    rules.csv          precision and recall of each rule
    needless.html      the page
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

from configs import Config, ConfigError
from configs.schema.config import RewardsConfig, RewardTermConfig
from envs import Env, Split
from rl.needless.guesses import RULES, TraceSigns, guess
from rl.needless.record import LineRow, ProblemRow, problem_log
from rl.parts import build_parts
from rl.runs.analysis import check_folder, open_folder
from rl.runs.forecast import Kind, Work
from rl.runs.progress import Progress
from rl.standalone import (
    NO_TRAINING,
    free_folder,
    model_settings,
    name_of_model,
    sampling_settings,
    with_model,
)
from rollout.threads import let_threads_sleep

LINES = "lines.csv"
RULES_TABLE = "rules.csv"


def measure_guesses(
    model: str,
    config: Config,
    *,
    split: str,
    num_problems: int,
    num_samples: int,
    num_continuations: int,
    output: Path | None = None,
    resume: bool = False,
) -> Path:
    """Measure how often each rule is right about needless lines.

    Args:
        model: Model or adapter folder, hub id, or "config" for the config's own policy.
        config: Its `env`, `policy`, `prompt`, `rollout`, `eval` and `seed` are used.
        split: The split; its first problems are sampled.
        num_problems: How many; a split that holds fewer is used once.
        num_samples: Samples of each; those that are right are judged.
        num_continuations: Continuations from each boundary of their steps.
        output: The folder. None: the next free one of `runs/needless-<model>-<config>`, `-2` and so on.
        resume: Go on with what is in `output`.

    Returns:
        The folder.

    Raises:
        ConfigError: The task does not know its lines, or has no such split, or the prompts are over the limit.
        PolicyError: The model cannot be found or used.
        RunFolderError: The folder cannot be used, or holds another measurement.
        GraderError: Graders failed on more completions than allowed.
    """
    config, checkpoint = with_model(model, config)
    right = RewardsConfig(terms=[RewardTermConfig(name="correct", weight=1.0)])
    config = config.model_copy(update={**NO_TRAINING, "rewards": right})
    parts = build_parts(config, find_model=checkpoint is None)
    if not any(part.defines("remaining") for part in parts.env.parts.values()):
        raise ConfigError(
            f"'{parts.env.name}' does not say how many lines remain (Env.remaining), so nothing is known of "
            "its lines; define it, or give a task that does"
        )
    if Split(split) not in parts.env.splits:
        raise ConfigError(f"--split {split}: the task has {', '.join(parts.env.splits)}")
    num_problems = min(num_problems, parts.env.num_problems(Split(split)) or num_problems)
    sampling = sampling_settings(config, split)
    folder = output or free_folder(f"needless-{name_of_model(model, checkpoint)}-{config.name}")
    settings: dict[str, Any] = {
        **model_settings(config, checkpoint),
        "split": split,
        "num_problems": num_problems,
        "num_samples": num_samples,
        "num_continuations": num_continuations,
        **sampling,
        "problems_per_batch": config.rollout.problems_per_batch,
        "seed": config.seed,
        "env": config.env.model_dump(mode="json"),
        "prompt": config.prompt.model_dump(mode="json"),
        "max_prompt_tokens": config.rollout.max_prompt_tokens,
    }
    check_folder(folder, "needless", settings, resume=resume)
    measured = config.eval.model_copy(update={"splits": [split], "num_problems": num_problems})
    used = config.model_copy(update={"eval": measured})  # whose prompts are measured

    let_threads_sleep()  # everything that needs no torch is checked
    import pandas as pd

    from rl.needless.table import line_table, rule_rows
    from rl.opening import opened_model
    from rl.pages.needless.write import write_page
    from rl.prompt_lengths import fits
    from rollout.types import Batch, Continuations, GroupRequest, Sampling
    from rollout.ungraded_limit import UngradedLimit

    with (
        opened_model(used, parts, checkpoint) as (loaded, pool, warnings),
        closing(open_folder(folder, "needless", settings, config, loaded.commit, resume=resume)),
    ):
        log, progress = problem_log(folder), Progress(sys.stderr)
        for warning in warnings:
            progress.say(warning)
        if note := log.mend():
            progress.say(note)
        within = fits(config, loaded.encoder)
        requests = [
            GroupRequest(
                group_id=index,
                split=Split(split),
                index=index,
                budget=None,
                num_samples=num_samples,
                seed=config.seed,
                evaluation=True,
                facts=True,
                continuations=Continuations(num=num_continuations),
            )
            for index in range(num_problems)
            if within(parts.env.problem(Split(split), index))
        ]
        size = config.rollout.problems_per_batch
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        found = {row.index: row for row in log.read()}
        whole = [batch for batch in batches if all(one.index in found for one in batch)]
        rows = [found[one.index] for batch in whole for one in batch]
        log.replace(rows)
        model_of, encoder = loaded.model.eval(), loaded.encoder
        ungraded = UngradedLimit(config.rollout.max_ungraded)
        num_lines = sum(len(row.lines) for row in rows)
        work = Work(label="needless steps", kind=Kind.PROBLEM, units=len(requests))
        with progress.showing(work, done=len(rows)) as task:

            def take(batch: Batch) -> None:
                nonlocal num_lines
                new = list[ProblemRow]()
                for group in batch.groups:
                    ungraded.add(group)
                    part = parts.env.part_of(group.problem)
                    lines = _lines(part, model_of, encoder, group, config.eval.temperature)
                    new.append(ProblemRow(index=group.problem.index, lines=tuple(lines)))
                    num_lines += len(lines)
                    task.advance(len(rows) + len(new), [f"{num_lines:,} lines of right traces"])
                log.append(*new)
                rows.extend(new)

            left = [batch for batch in batches if batch not in whole]
            pool.rollout(left, Sampling(**sampling), on_batch=take)
        log.replace(sorted(rows, key=lambda row: row.index))
        lines = line_table(log.read())
        lines.to_csv(folder / LINES, index=False)
        pd.DataFrame([_flat(row) for row in rule_rows(lines)]).to_csv(folder / RULES_TABLE, index=False)
        write_page(folder)
    return folder


def _lines(part: Env[Any], model: Any, encoder: Any, group: Any, temperature: float) -> list[LineRow]:
    """A row for each line of the right samples of a group."""
    from rl.needless.signs import ending_logprobs, token_entropies
    from rollout.step_boundaries import step_spans

    problem, rows = group.problem, list[LineRow]()
    ending = encoder.encode_completion(part.demonstrate((), problem.answer))
    for number, sample in enumerate(group.samples):
        if not sample.trace.correct or not sample.trace.steps:
            continue
        ids = sample.completion.ids
        spans = step_spans(encoder, ids, sample.trace)
        prefixes = [ids[:start] for start, _ in spans] + [ids[: spans[-1][1]]]
        entropies = token_entropies(model, group.prompt_ids, ids, temperature)
        logprobs = sample.completion.logprobs
        signs = TraceSigns(
            lines=tuple(step.text for step in sample.trace.steps),
            answer=problem.answer,
            confidences=tuple(fmean(logprobs[start:end]) if end > start else 0.0 for start, end in spans),
            entropies=tuple(sum(entropies[start:end]) for start, end in spans),
            answer_logprobs=tuple(ending_logprobs(model, group.prompt_ids, prefixes, ending)),
            values=sample.values,
        )
        guesses = {name: guess(name, signs) for name in RULES}
        rows += [
            LineRow(
                sample=number,
                line=place,
                text=step.text,
                use=fact.use,
                progress=None if fact.progress is None else float(fact.progress),
                guesses={name: found[place] for name, found in guesses.items()},
            )
            for place, (step, fact) in enumerate(zip(sample.trace.steps, sample.facts, strict=True))
        ]
    return rows


def _flat(row: Any) -> dict[str, Any]:
    flat = {"rule": row.name, "lines": row.lines, "needless": row.needless, "called": row.called}
    for name in ("precision", "recall"):
        share = getattr(row, name)
        flat |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    return {**flat, "auc": row.auc}
