"""What a reward function declares about itself, beside its code: `@reward(...)`, for built-in and user rewards.

::

    @reward(when_wrong=(0, 0))
    def brevity(problem, trace, *, limit=200): ...

    @reward(group=True, history=True)
    def shorter_than_ever(problem, traces, *, history): ...
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rewards.priced_lines import KINDS, PricedLines

F = TypeVar("F", bound=Callable[..., Any])
Range = tuple[float, float]

_ATTRIBUTE = "reward_declaration"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """What `@reward` states about a function; without the decorator, the defaults hold.

    Attributes:
        when_wrong: Smallest and largest value where the answer is wrong.
        when_right: Smallest and largest value where the answer is right.
        group: The function is `(problem, traces) -> list[float]`, for all samples of a problem at once, and not
            `(problem, trace) -> float`.
        history: It takes the run's `History` as the keyword `history`.
        limit: It takes the run's length limit (`rollout.max_new_tokens`) as the keyword `limit`, unless the
            config's `args` give another one.
        per_tokens: Its ranges are multiples of `limit` / `per_tokens`, both keywords of the function: so many
            tokens cost 1.
        budget: It compares with the step budget in the prompt, so `grpo.budget_frac` must be above 0.
        checked_steps: It judges steps or backtracks by the verdicts of the task, so the task must check steps.
        checked_backtracks: It judges backtracks by what they restore, so the task must check them too.
        ascending: Keywords whose values must not decrease in this order: `("floor", "ceiling")`.
        lines: The kind of lines that it prices (`priced_lines.py`), to which `grpo.credit: parts` credits it;
            None: the whole answer.
    """

    when_wrong: Range = (0.0, 1.0)
    when_right: Range = (0.0, 1.0)
    group: bool = False
    history: bool = False
    limit: bool = False
    per_tokens: bool = False
    budget: bool = False
    checked_steps: bool = False
    checked_backtracks: bool = False
    ascending: tuple[str, ...] = ()
    lines: PricedLines | None = None

    def ranges(self, args: Mapping[str, Any]) -> tuple[Range, Range]:
        """Smallest and largest value where the answer is wrong, and where it is right, with these arguments."""
        scale = args["limit"] / args["per_tokens"] if self.per_tokens else 1.0
        wrong, right = self.when_wrong, self.when_right
        return (wrong[0] * scale, wrong[1] * scale), (right[0] * scale, right[1] * scale)


def reward(
    *,
    when_wrong: Range = (0.0, 1.0),
    when_right: Range = (0.0, 1.0),
    group: bool = False,
    history: bool = False,
    limit: bool = False,
    per_tokens: bool = False,
    budget: bool = False,
    checked_steps: bool = False,
    checked_backtracks: bool = False,
    ascending: tuple[str, ...] = (),
    lines: PricedLines | None = None,
) -> Callable[[F], F]:
    """Declare a reward; see `Declaration` for the arguments. The function itself stays as it is.

    The weights of a run are checked against the two ranges: no wrong answer may earn as much as a right one.
    """
    declaration = Declaration(
        when_wrong=when_wrong,
        when_right=when_right,
        group=group,
        history=history,
        limit=limit,
        per_tokens=per_tokens,
        budget=budget,
        checked_steps=checked_steps or checked_backtracks,
        checked_backtracks=checked_backtracks,
        ascending=ascending,
        lines=lines,
    )

    def declare(function: F) -> F:
        setattr(function, _ATTRIBUTE, declaration)
        return function

    return declare


def declaration_of(function: Callable[..., Any], name: str) -> Declaration:
    """Read the declaration of a function and check it against the signature.

    Args:
        function: The reward.
        name: Its name, for messages.

    Raises:
        ValueError: The two do not fit, or a range is not a pair of numbers; one line says what to change.
    """
    declared: Declaration = getattr(function, _ATTRIBUTE, Declaration())
    parameters = list(inspect.signature(function).parameters.values())
    places = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    takes = f"reward '{name}' takes ({', '.join(places)})"
    if len(places) != 2:
        raise ValueError(
            f"{takes}; it must take (problem, trace), or (problem, traces) with @reward(group=True), and "
            "keywords after a '*'"
        )
    if places[1] == "traces" and not declared.group:
        raise ValueError(f"{takes} but declares no group; write @reward(group=True) above it")
    if places[1] == "trace" and declared.group:
        raise ValueError(f"{takes} but declares group=True; take (problem, traces), or leave group out")
    keywords = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    if "history" in keywords and not declared.history:
        raise ValueError(f"reward '{name}' takes history but does not declare it; write @reward(history=True)")
    if missing := [key for key in declared.ascending if key not in keywords]:
        raise ValueError(
            f"reward '{name}' declares ascending={declared.ascending} but takes no keyword '{missing[0]}'; add "
            "it after a '*', or leave it out of @reward"
        )
    if declared.lines is not None and declared.lines not in KINDS:
        raise ValueError(
            f"reward '{name}' declares lines={declared.lines!r}; it can be {', '.join(KINDS)}, or left out for "
            "a reward of the whole answer"
        )
    if declared.per_tokens and not declared.limit:
        raise ValueError(
            f"reward '{name}' declares per_tokens=True without limit=True; its largest value is limit / "
            "per_tokens, so declare both"
        )
    needs = {"history": declared.history, "limit": declared.limit, "per_tokens": declared.per_tokens}
    for key, wanted in needs.items():
        if wanted and key not in keywords:
            raise ValueError(
                f"reward '{name}' declares {key}=True but takes no keyword '{key}'; add it after a '*', "
                f"or leave {key} out of @reward"
            )
    return replace(
        declared,
        when_wrong=_checked(declared.when_wrong, "when_wrong", name),
        when_right=_checked(declared.when_right, "when_right", name),
    )


def _checked(given: Any, key: str, name: str) -> Range:
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"reward '{name}' declares {key}={given}; give two finite numbers, the smaller first")
    return low, high
