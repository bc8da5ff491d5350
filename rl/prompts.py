"""From the config's `prompt` section and a task to the format of prompts.

In: the section and the environment. Out: a `PromptFormat`, or one line that says what is wrong. Torch is not
imported; what depends on the tokenizer is checked by `make_encoder`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from configs import Config, ConfigError
from configs.schema.prompt import PromptConfig
from envs import Env, Split, Thinking, Verdict
from envs.base import checked_step
from envs.thinking import check_marks
from rollout.prompt_format import PromptFormat, Shot, check_template, slots_of

_TRIED = 20  # train problems looked at for each example


def build_prompt_format(config: Config, env: Env[Any]) -> PromptFormat:
    """The format of a run's prompts.

    Raises:
        ConfigError: As `make_prompt_format`; or prompts with a step budget would not state it; or the prefill
            spoils every completion.
    """
    prompts = make_prompt_format(config.prompt, env)
    silent = [split for split, template in prompts.templates.items() if "budget" not in slots_of(template)]
    thinking = Thinking() if prompts.thinking == "auto" else prompts.thinking
    for part in env.parts.values():
        _check_prefill(config.prompt.prefill, part, thinking)
    stages = {"warm_start": config.warm_start, "grpo": config.grpo}
    for name, stage in stages.items():
        if stage is not None and stage.budget_frac > 0 and Split.TRAIN in silent:
            raise ConfigError(
                f"{name}.budget_frac is {stage.budget_frac:g}, but prompt.template has no slot {{budget}}, so "
                "no prompt would state its budget; add it on a line of its own, or set the share to 0"
            )
    return prompts


def _check_prefill(prefill: str, env: Env[Any], thinking: Thinking | None) -> None:
    """Refuse a prefill after which the task's own solution is no longer verified."""
    if not prefill or not env.checks_steps or not env.has_solutions:
        return
    problem = env.problem(Split.TRAIN, 0)
    solution = env.demonstrate(env.full_trace(problem), problem.answer)
    if thinking is None:
        trace = env.parse(prefill + solution.removeprefix(prefill))
    else:
        solution = thinking.wrap(solution) if thinking.open in prefill else solution
        trace = thinking.parse(env, prefill + solution.removeprefix(prefill))
    trace = env.check(problem, trace)
    if not trace.verified:
        wrong = next(
            (checked_step(step) for step in trace.steps if step.verdict is Verdict.INVALID), "no answer"
        )
        raise ConfigError(
            f"prompt.prefill {prefill!r} is read as part of the completion, and '{env.name}' does not verify "
            f"its own solution after it ({wrong}); leave it out, or put it into prompt.template"
        )


def make_prompt_format(config: PromptConfig, env: Env[Any]) -> PromptFormat:
    """The format of a task's prompts.

    Raises:
        ConfigError: A template cannot be filled, or the task has too few worked examples.
    """
    for split, template in config.template.items():
        try:
            check_template(template)
        except ValueError as error:
            same = len({*config.template.values()}) == 1
            raise ConfigError(f"prompt.template{'' if same else f'.{split}'}: {error}") from None
    formats = {label: _format_of(config, part) for label, part in env.parts.items()}
    first, *others = formats.values()
    return replace(first, parts=formats) if others else first


def _format_of(config: PromptConfig, env: Env[Any]) -> PromptFormat:
    """The format of a task that is no mixture."""
    shots = _shots(config, env)
    return PromptFormat(
        instruction=env.instruction,
        step_request=env.step_request,
        format_request=env.request,
        plain_request=env.plain_request,
        templates={Split(split): template for split, template in config.template.items()},
        shots=shots,
        num_shots=config.few_shot or len(shots),
        system_prompt=config.system_prompt,
        prefill=config.prefill,
        chat_template=config.chat_template,
        chat_template_kwargs=config.chat_template_kwargs,
        thinking=_thinking(config),
    )


def _thinking(config: PromptConfig) -> Thinking | Literal["auto"] | None:
    marks = config.thinking
    if marks is None or marks == "auto":
        return marks
    try:
        check_marks(marks.open, marks.close)
    except ValueError as error:
        raise ConfigError(f"prompt.thinking: {error}") from None
    return Thinking(open=marks.open, close=marks.close)


def _shots(config: PromptConfig, env: Env[Any]) -> tuple[Shot, ...]:
    """The examples of the config, or worked train problems: one more than are shown."""
    if config.few_shot == 0:
        return tuple(
            Shot(question=one.question, prompt=env.render_prompt(one.question), answer=one.answer)
            for one in config.examples
        )
    wanted = config.few_shot + 1
    found: dict[str, Shot] = {}
    size = env.num_problems(Split.TRAIN)
    tried = _TRIED * wanted if env.has_solutions else 0
    for index in range(tried if size is None else min(size, tried)):
        problem = env.problem(Split.TRAIN, index)
        try:
            answer = env.demonstrate(env.full_trace(problem), problem.answer)
        except ValueError:
            continue  # this row has no worked solution
        found.setdefault(
            problem.question, Shot(question=problem.question, prompt=problem.prompt, answer=answer)
        )
        if len(found) == wanted:
            return tuple(found.values())
    raise ConfigError(
        f"prompt.few_shot is {config.few_shot}, which takes {wanted} different train problems with worked "
        f"solutions, but {len(found)} were found in '{env.name}'; lower it, or give prompt.examples"
    )
