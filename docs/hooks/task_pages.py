"""A page per task: what it is, an example problem with its prompt and reference traces, and its settings.

Everything is made by the environments: traces are rendered, parsed and checked as a model's completion would
be.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Sequence
from typing import Any

from config_page import settings_table
from docstrings import markdown

from configs.schema.prompt import PromptConfig
from envs import ENVS, Demonstration, Env, Problem, Split, StepKind, make_example
from rl.prompts import make_prompt_format

_TRIED = 300  # problems among which the example is chosen
# Smaller problems than the default ones, to be read.
_SMALL = {"sudoku": {"train": {"4_6-8": 1}, "ood_easy": {"6_12-16": 1}, "ood_hard": {"9_41-45": 1}}}
_TITLES = {
    "arc_1d": "Arc 1D",
    "math": "Math (your data)",
    "multistep_arithmetic": "Multi-step arithmetic",
    "reasoning_gym": "reasoning-gym",
}


def titles() -> dict[str, str]:
    """Title of each task's page, by name."""
    return {name: _TITLES.get(name, name.replace("_", " ").capitalize()) for name in ENVS}


def overview_page() -> str:
    """A table of all tasks."""
    rows = ["| task | steps | skip rules | kinds of wrong turns |", "|---|---|---|---|"]
    for name, title in titles().items():
        env = make_example(name, **_SMALL.get(name, {}))
        steps = "checked" if env.checks_steps else "counted, not checked"
        rows.append(
            f"| [{title}]({name}.md) | {steps} | {_names(env.skip_kinds)} | {_names(env.error_kinds)} |"
        )
    return (
        "# Tasks\n\nSet `env.name` to one of these. *Checked* steps: the environment judges every line and "
        "every backtrack. Otherwise only the answer is judged.\n\n" + "\n".join(rows) + "\n"
    )


def task_page(name: str) -> str:
    """The page of one task."""
    env = make_example(name, **_SMALL.get(name, {}))
    about = markdown((inspect.getmodule(type(env)) or object).__doc__ or "")
    title, _, rest = about.partition("\n\n")
    parts = [f"# {titles()[name]}\n\n{title}\n\n`env.name: {name}`\n"]
    parts += ["## Example\n", *_example(env), "## About\n", rest]
    about_settings = inspect.cleandoc(type(env.settings).__doc__ or "")
    settings = " ".join(about_settings.partition("\n\nAttributes:")[0].split())
    parts += [f"## Settings\n\nKeys of `env.settings`. {settings}\n", settings_table(type(env.settings))]
    return "\n".join(parts)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _example(env: Env[Any]) -> Iterator[str]:
    problem = _choose(env)
    yield f"Prompt:\n\n{_block(problem.prompt)}"
    message = make_prompt_format(PromptConfig(), env).messages(problem)[-1]
    yield f"In a chat template:\n\n{_block(''.join([piece.text for piece in message.content]))}"
    yield f"Right answer: `{problem.answer}`\n"
    try:
        full = env.full_trace(problem)
    except ValueError:
        yield "This task has no worked solutions: a run starts from a model that can already write some.\n"
        return
    yield _trace(env, problem, "Full trace", "every elementary step", Demonstration(lines=tuple(full)))
    for kind, lines in _skipped(env, problem):
        about = f"steps left out by hand, rule `{kind}`"
        yield _trace(env, problem, "Skipped trace", about, Demonstration(lines=lines))
    for error in env.error_kinds[:1]:
        detour = env.detour_trace(problem, [error], random.Random(0))
        if detour is not None:
            about = f"a wrong turn of kind `{error}` and the backtrack that takes it back"
            yield _trace(env, problem, "Detour trace", about, detour)
    mistakes = [(kind, env.mistaken_trace(problem, kind, random.Random(0))) for kind in env.mistake_kinds]
    for kind, mistaken in [(kind, found) for kind, found in mistakes if found is not None][:1]:
        yield _mistake(env, problem, kind, mistaken)
    search = env.search_trace(problem, random.Random(0))
    if search is not None and len(search.lines) <= 40:
        yield _trace(env, problem, "Search trace", "a systematic search with the backtracks it needs", search)


def _skipped(env: Env[Any], problem: Problem) -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind in env.skip_kinds[:1]:
        lines = env.skipped_trace(problem, kind, random.Random(0))
        if lines is not None:
            yield kind, tuple(lines)


def _choose(env: Env[Any]) -> Problem:
    """The shortest of the first problems that has every kind of trace the task has."""

    def worth(problem: Problem) -> tuple[int, int]:
        try:
            lines = len(env.full_trace(problem))
        except ValueError:
            return 0, len(problem.prompt)
        rng = random.Random(0)
        kinds = sum(1 for _ in _skipped(env, problem))
        if env.error_kinds:
            kinds += env.detour_trace(problem, [env.error_kinds[0]], rng) is not None
        return -kinds, abs(lines - 3)

    return min(
        (env.problem(Split.TRAIN, index) for index in range(_TRIED if env.has_solutions else 8)), key=worth
    )


def _trace(env: Env[Any], problem: Problem, title: str, about: str, demonstration: Demonstration) -> str:
    text = env.demonstrate(demonstration.lines, demonstration.answer or problem.answer)
    trace = env.check(problem, env.parse(text))
    assert trace.correct, f"{env.name}: {title} is refused"
    facts = [f"{trace.num_steps} steps of {problem.num_full_steps}"]
    if backtracks := sum(step.kind is StepKind.BACKTRACK for step in trace.steps):
        facts.append(f"{backtracks} backtrack{'s' if backtracks > 1 else ''}, {trace.real_backtracks} real")
    facts.append("verified" if trace.verified else "answer right, steps not checked")
    invalid = [step for step in trace.steps if step.reason]
    why = "".join(f"\n`{step.text}` is taken back: {step.reason}.\n" for step in invalid)
    return f"**{title}**: {about} ({', '.join(facts)}).\n\n{_block(text)}{why}"


def _mistake(env: Env[Any], problem: Problem, kind: str, mistaken: Demonstration) -> str:
    assert mistaken.answer is not None
    text = env.demonstrate(mistaken.lines, mistaken.answer)
    (at,) = mistaken.wrong
    step = env.check(problem, env.parse(text)).steps[at]
    why = step.reason or "from there the end is out of reach"
    about = f"a mistake of kind `{kind}`, which nothing takes back, and what follows from it"
    return f"**Mistaken trace**: {about}.\n\n{_block(text)}\n`{step.text}` is the mistake: {why}.\n"


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"
