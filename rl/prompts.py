"""From the config's `prompt` section and a task to the format of prompts.

In: the section and the environment. Out: a `PromptFormat`, or one line that says what is wrong. Torch is not
imported; what depends on the tokenizer is checked by `make_encoder`.
"""

from __future__ import annotations

from typing import Any

from configs import Config, ConfigError
from configs.schema.prompt import PromptConfig
from envs import Env, Split, render_trace
from rollout.prompt_format import PromptFormat, Shot, check_template, slots_of

_TRIED = 20  # train problems looked at for each example


def build_prompt_format(config: Config, env: Env[Any]) -> PromptFormat:
    """The format of a run's prompts.

    Raises:
        ConfigError: As `make_prompt_format`, or prompts with a step budget would not state it.
    """
    prompts = make_prompt_format(config.prompt, env)
    silent = [split for split, template in prompts.templates.items() if "budget" not in slots_of(template)]
    stages = {"warm_start": config.warm_start, "grpo": config.grpo}
    for name, stage in stages.items():
        if stage is not None and stage.budget_frac > 0 and Split.TRAIN in silent:
            raise ConfigError(
                f"{name}.budget_frac is {stage.budget_frac:g}, but prompt.template has no slot {{budget}}, so "
                "no prompt would state its budget; add it on a line of its own, or set the share to 0"
            )
    return prompts


def make_prompt_format(config: PromptConfig, env: Env[Any]) -> PromptFormat:
    """The format of a task's prompts.

    Raises:
        ConfigError: A template cannot be filled, or the task has too few worked examples.
    """
    given = config.template or {}
    templates = dict.fromkeys(map(str, Split), given) if isinstance(given, str) else dict(given)
    for split, template in templates.items():
        try:
            check_template(template)
        except ValueError as error:
            where = "" if isinstance(given, str) else f".{split}"
            raise ConfigError(f"prompt.template{where}: {error}") from None
    shots = _shots(config, env)
    return PromptFormat(
        instruction=env.instruction,
        step_request=env.step_request,
        format_request=env.format_request,
        templates={Split(split): template for split, template in templates.items()},
        shots=shots,
        num_shots=config.few_shot if isinstance(config.few_shot, int) else len(shots),
        system_prompt=config.system_prompt,
        prefill=config.prefill,
        chat_template=config.chat_template,
        chat_template_kwargs=config.chat_template_kwargs,
    )


def _shots(config: PromptConfig, env: Env[Any]) -> tuple[Shot, ...]:
    """The examples of the config, or worked train problems: one more than are shown."""
    if not isinstance(config.few_shot, int):
        return tuple(
            Shot(question=one.question, prompt=env.render_prompt(one.question), answer=one.answer)
            for one in config.few_shot
        )
    if config.few_shot == 0:
        return ()
    wanted = config.few_shot + 1
    found: dict[str, Shot] = {}
    size = env.num_problems(Split.TRAIN)
    tried = _TRIED * wanted if env.has_solutions else 0
    for index in range(tried if size is None else min(size, tried)):
        problem = env.problem(Split.TRAIN, index)
        try:
            answer = render_trace(env.full_trace(problem), problem.answer)
        except ValueError:
            continue  # this row has no worked solution
        found.setdefault(
            problem.question, Shot(question=problem.question, prompt=problem.prompt, answer=answer)
        )
        if len(found) == wanted:
            return tuple(found.values())
    raise ConfigError(
        f"prompt.few_shot is {config.few_shot}, which takes {wanted} different train problems with worked "
        f"solutions, but {len(found)} were found in '{env.name}'; lower it, or give a list of examples with "
        "question and answer"
    )
