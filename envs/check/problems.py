"""The problems of an environment and their prompts, checked: addresses, splits, budgets, right answers."""

from __future__ import annotations

from inspect import signature
from typing import Any

from envs.base import Env
from envs.check.judge import EnvContractError, fail, judge
from envs.generated import GeneratedEnv
from envs.problem import Problem, Split


def check_problems(env: Env[Any], num_problems: int) -> list[Problem]:
    """Generate the problems twice, in both orders, and check each on its own and against the others."""
    addresses = [
        (split, index)
        for split in env.splits
        for index in range(min(num_problems, env.num_problems(split) or num_problems))
    ]
    one, two = (type(env)(env.settings) for _ in range(2))
    problems = [one.problem(split, index) for split, index in addresses]
    again = [two.problem(split, index) for split, index in reversed(addresses)][::-1]
    seen: dict[str, Split] = {}
    for problem, same, (split, index) in zip(problems, again, addresses, strict=True):
        if (problem.env, problem.split, problem.index) != (env.name, split, index):
            raise EnvContractError(
                f"{env.name} {split} {index}: "
                f"the problem's address is {problem.env} {problem.split} {problem.index}"
            )
        if problem != same:
            raise fail(env, problem, "two copies of the environment disagree, or the order of access matters")
        if seen.setdefault(problem.question, split) is not split:
            raise fail(env, problem, f"the question is also in {seen[problem.question]}: {problem.question!r}")
        drawn = isinstance(env, GeneratedEnv) and env.num_problems(split) is None
        if drawn and env.bucket(problem) not in env.settings.buckets(split):
            raise fail(env, problem, f"bucket '{env.bucket(problem)}' is not in this split")
        _check_prompts(env, problem)
        if judge(env, problem, (), problem.answer).correct is not True:
            raise fail(env, problem, f"the gold answer {problem.answer!r} is refused")
    return problems


def _check_prompts(env: Env[Any], problem: Problem) -> None:
    """The step request must be one piece inserted into the plain prompt, and must contain the number."""
    if problem.budget is not None:
        raise fail(env, problem, f"budget is {problem.budget}, but none was requested")
    if not problem.prompt.endswith("Answer:\n"):
        raise fail(env, problem, "the prompt does not end with 'Answer:\\n'")
    asked = env.with_budget(problem, 37)
    takes_budget = "budget" in signature(env.problem).parameters
    same = asked if not takes_budget else env.problem(problem.split, problem.index, budget=37)
    if asked != same or env.with_budget(asked, None) != problem:
        raise fail(env, problem, "the problem is not the same with and without a budget")
    plain, prompt = problem.prompt, asked.prompt
    before = next((i for i, (a, b) in enumerate(zip(plain, prompt, strict=False)) if a != b), len(plain))
    request = prompt[before : before + len(prompt) - len(plain)]
    if "37" not in request or plain != prompt[:before] + prompt[before + len(request) :]:
        raise fail(env, problem, "the prompts with and without a budget differ by more than the request")
