r"""Options of multiple-choice questions: ``E)``, ``(E) 12``, ``E: it``, ``\textbf{(E)}\ 12``, ``Option E``."""

from __future__ import annotations

from typing import NamedTuple

from envs.maths.grammar import strip
from envs.maths.vocabulary import AND, OR

_OPTIONS = "ABCDEFGHIJ"


class Option(NamedTuple):
    """The letter of an option and the tokens of its text, of which there may be none."""

    letter: str
    text: list[str]
    in_brackets: bool


def split_option(tokens: list[str]) -> Option | None:
    """The parts of an option; None if the tokens are none, or name several."""
    at = 0
    if tokens[0].lower().removeprefix("'") in ("option", "choice", "answer") and len(tokens) > 1:
        at = 1 + (tokens[1] == " ")
        if at == len(tokens):
            return None
    is_called = at > 0
    opened = tokens[at] == "("
    letter = tokens[at + opened].removeprefix("'") if at + opened < len(tokens) else ""
    if len(letter) != 1 or letter not in _OPTIONS:
        return None
    at += opened + 1
    sign = tokens[at] if at < len(tokens) else ""
    if opened and sign != ")":
        return None
    if not opened and sign not in (")", ":", "."):
        return Option(letter, [], False) if is_called and not sign else None
    rest = tokens[at + 1 :]
    if opened and not rest:
        return Option(letter, [], True) if is_called else None
    if rest and rest[0] != " ":
        return None
    rest = strip(rest)
    if any(_starts_option(rest, place) for place in range(len(rest) - 1)) or rest[:1] in ([AND], [OR], [","]):
        return None
    return Option(letter, rest, opened)


def _starts_option(tokens: list[str], at: int) -> bool:
    letter = tokens[at].removeprefix("'")
    return len(letter) == 1 and letter in _OPTIONS and tokens[at + 1] in (")", ":")
