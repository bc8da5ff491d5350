r"""The tokens of a text that may hold equations, in one pass.

In: any text. Out: tokens with their places. Spaces, mark-up and LaTeX that changes no value are left out, and
spellings of an operator are one token: ``×``, ``\times`` and ``·`` are ``*``. All quantifiers of runs are
possessive or bounded, so the time is linear in the text.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a token is to an equation."""

    NUMBER = "number"
    FRACTION = "fraction"
    r"""``\frac``; its arguments follow in braces."""
    OPERATOR = "operator"
    STARS = "stars"
    """Two stars: a power between numbers, else mark-up."""
    RELATION = "relation"
    """``=``, or ``~`` for approximately."""
    OPEN = "open"
    CLOSE = "close"
    LEFT_BRACE = "left brace"
    RIGHT_BRACE = "right brace"
    MONEY = "money"
    CENTS = "cents"
    PERCENT = "percent"
    SUPERSCRIPT = "superscript"
    WORD = "word"
    NEWLINE = "newline"
    STOP = "stop"
    """Ends an expression: punctuation, a time, and all else that is no arithmetic."""
    UNKNOWN = "unknown"
    """A LaTeX command without a value here, such as a root."""


class Token(NamedTuple):
    """One token; `text` is normalised, `start` and `end` are its place in the text."""

    kind: Kind
    text: str
    start: int
    end: int


GLYPHS = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
    "⅘": (4, 5),
    "⅙": (1, 6),
    "⅚": (5, 6),
    "⅐": (1, 7),
    "⅛": (1, 8),
    "⅜": (3, 8),
    "⅝": (5, 8),
    "⅞": (7, 8),
    "⅑": (1, 9),
    "⅒": (1, 10),
}
_LETTERS = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0370-\u1fff"
_THOUSANDS = r"(?:,|\{,\}|\\,|\\!|,\\!|[\u2009\u202f\xa0])"
# Spaces separate thousands after a currency sign, or before a last 000, which is no number of its own.
_SPACED = (
    r"(?<=[$€£¥₹])[1-9][0-9]{0,2}(?: [0-9]{3}){1,8}+(?![0-9])"
    r"|[1-9][0-9]{0,2}(?: [0-9]{3}){0,7} 000(?![0-9])"
)
_TOKEN = re.compile(
    r"(?P<note><<[^<>\n]{0,200}+>>)"
    r"|(?P<time>[0-9]{1,2}:[0-5][0-9](?![0-9]))"
    rf"|(?P<number>(?:{_SPACED}|[0-9]{{1,3}}(?:{_THOUSANDS}[0-9]{{3}}){{1,8}}+(?![0-9])|[0-9]++)(?:\.[0-9]++)?+|\.[0-9]++)"
    rf"|(?P<glyph>[{''.join(GLYPHS)}])"
    rf"|(?P<word>[{_LETTERS}]++(?:['’][{_LETTERS}]++|\.[{_LETTERS}]++(?=[ .,)]))?+)"
    r"|(?P<command>\\(?:[A-Za-z]++|.))"
    r"|(?P<newline>\n)"
    r"|(?P<symbol>\*\*|=>|<=|>=|!=|->|~=|[=]++|[^ \t\r\n])"
)
_SYMBOLS: dict[str, tuple[Kind, str]] = {
    "+": (Kind.OPERATOR, "+"),
    **dict.fromkeys("-−–", (Kind.OPERATOR, "-")),
    **dict.fromkeys("*×✕·⋅∗", (Kind.OPERATOR, "*")),
    **dict.fromkeys("/÷∕⁄", (Kind.OPERATOR, "/")),
    "^": (Kind.OPERATOR, "^"),
    "**": (Kind.STARS, "**"),
    **dict.fromkeys(("=", "=="), (Kind.RELATION, "=")),
    **dict.fromkeys(("≈", "≃", "≅", "~="), (Kind.RELATION, "~")),
    **dict.fromkeys("([", (Kind.OPEN, "(")),
    **dict.fromkeys(")]", (Kind.CLOSE, ")")),
    "{": (Kind.LEFT_BRACE, "{"),
    "}": (Kind.RIGHT_BRACE, "}"),
    **dict.fromkeys("$€£¥₹", (Kind.MONEY, "$")),
    "%": (Kind.PERCENT, "%"),
    **dict.fromkeys("√∛", (Kind.UNKNOWN, "√")),
    "¢": (Kind.CENTS, "cents"),
    "²": (Kind.SUPERSCRIPT, "2"),
    "³": (Kind.SUPERSCRIPT, "3"),
}
_COMMANDS: dict[str, tuple[Kind, str]] = {
    **dict.fromkeys((r"\times", r"\cdot", r"\ast"), (Kind.OPERATOR, "*")),
    r"\div": (Kind.OPERATOR, "/"),
    **dict.fromkeys((r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"), (Kind.FRACTION, "/")),
    **dict.fromkeys((r"\approx", r"\simeq"), (Kind.RELATION, "~")),
    r"\$": (Kind.MONEY, "$"),
    r"\%": (Kind.PERCENT, "%"),
    "\\\\": (Kind.NEWLINE, "\n"),
    **dict.fromkeys((r"\{", r"\}"), (Kind.STOP, "")),
}
_SPACES = "\u200b\ufeff\xa0\u2009\u202f\u3000\v\f"
_NOTHING = frozenset((*"_`~&", *_SPACES, "\\ ", *(rf"\{name}" for name in ",;:!()[]"))) | frozenset(
    rf"\{name}"
    for name in (
        "quad", "qquad", "left", "right", "big", "Big", "bigl", "bigr", "text", "textbf", "textit", "textrm",
        "mathrm", "mathbf", "mbox", "boxed", "displaystyle", "textstyle", "begin", "end",
    )
)  # fmt: skip


def tokenize(text: str) -> list[Token]:
    """Split a text into tokens.

    A calculator note such as ``<<48/2=24>>`` is left out where the equals sign before it makes it a repetition;
    elsewhere it is read like other text.
    """
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "note":
            _add(match, tokens)
        elif not _repeats(tokens):
            start, end = match.span()
            tokens.append(Token(Kind.STOP, "<<", start, start + 2))
            for inner in _TOKEN.finditer(text, start + 2, end - 2):
                _add(inner, tokens)
            tokens.append(Token(Kind.STOP, ">>", end - 2, end))
    return tokens


def _repeats(tokens: list[Token]) -> bool:
    before = [token.kind for token in tokens[-2:]]
    return before[-1:] == [Kind.RELATION] or before == [Kind.RELATION, Kind.MONEY]


def _add(match: re.Match[str], tokens: list[Token]) -> None:
    group, found = match.lastgroup, match[0]
    start, end = match.span()
    if group == "number" or group == "glyph":
        tokens.append(Token(Kind.NUMBER, found, start, end))
    elif group == "word":
        # A single letter is a name, and names have cases.
        tokens.append(Token(Kind.WORD, found if len(found) == 1 else found.lower(), start, end))
    elif group == "newline":
        tokens.append(Token(Kind.NEWLINE, found, start, end))
    elif found not in _NOTHING:
        known, other = (_COMMANDS, Kind.UNKNOWN) if group == "command" else (_SYMBOLS, Kind.STOP)
        kind, spelling = known.get(found, (other, found))
        tokens.append(Token(kind, spelling, start, end))
