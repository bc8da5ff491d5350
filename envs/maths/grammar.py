r"""Normalised tokens of mathematical text.

In: an answer in plain text or LaTeX that passed `envs.grading.why_refused`. Out: its tokens (`tokenize`).

Normalisation: ``\dfrac``, ``\tfrac`` and ``\frac`` become ``\frac`` with both arguments in braces; ``\cdot``
and ``×`` become ``*``; sizes, spaces and delimiters such as ``\left``, ``\,``, ``\[`` and pairs of ``$`` become
one space or disappear; "and" and "or" become ``\land`` and ``\lor``; words in text become single tokens such as
``'cm`` or ``'no solution``. Takes time linear in the text.
"""

from __future__ import annotations

import re

from envs.maths.vocabulary import ALIASES, AND, OR, TEXT_COMMANDS

MAX_CHARS = 512
MAX_DEPTH = 20

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+|[A-Za-z]+|\*\*|[<>!]=|[ \t\r\n]+|.", re.DOTALL)
_ARRAY = re.compile(r"\\left ?[\[(] ?\\begin\{array\}\{[lcr]{1,8}\}")
_ARRAY_END = re.compile(r"\\end\{array\} ?\\right ?[\])]")
_PHRASE = re.compile(r"[A-Za-z]+(?:[ .'-]{1,2}[A-Za-z]+)*\.?")
_WORD = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+|[A-Za-z]+(?:['-][A-Za-z]+)*|[ \t\r\n]+|.", re.DOTALL)

_OPEN = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}
OPEN = frozenset(_OPEN)
CLOSE = frozenset(_OPEN.values())


_BOLD = frozenset((r"\mathbf", r"\mathit", r"\mathsf", r"\mathcal", r"\boldsymbol", r"\bm"))
_SPACES = str.maketrans("\t\r\n\xa0", "    ")
_DOLLAR = re.compile(r"(?<!\\)\$")
_AMOUNT = re.compile(r"\$ ?-? ?[0-9.]|[0-9] ?\$$")


class TooDeep(ValueError):
    """Brackets are nested deeper than `MAX_DEPTH`."""


def tokenize(text: str) -> list[str]:
    r"""The normalised tokens of a text (see the head of this file), without spaces at the ends.

    Example: ``$\dfrac12\text{ cm}$`` gives ``\frac { 1 } { 2 }`` and ``'cm``.

    Args:
        text: At most `MAX_CHARS` characters that passed `why_refused`.

    Raises:
        TooDeep: Brackets are nested deeper than `MAX_DEPTH`.
    """
    if "\\" in text:
        if "{array}" in text:
            text = _ARRAY.sub(r"\\begin{pmatrix}", _ARRAY_END.sub(r"\\end{pmatrix}", text))
        if "\\\\" in text and "matrix" not in text:
            text = text.replace("\\\\", "\\")
        if "\\circ" in text:
            text = text.replace("^{\\circ}", "°").replace("^\\circ", "°").replace("^ \\circ", "°")
        if "\\prime" in text:
            text = text.replace("^{\\prime}", "'").replace("^\\prime", "'")
    if "$" in text:
        text = _without_delimiters(text)
    raw = _TOKEN.findall(text)
    out: list[str] = []
    depth = deepest = at = 0
    takes_arguments = False
    while at < len(raw):
        token = raw[at]
        at += 1
        if token in TEXT_COMMANDS:
            at = _read_text(raw, at, token, out)
            continue
        if token == "\\!":
            if at < len(raw) and raw[at].isspace():
                at += 1
            if at < len(raw) and out[-1:] == [","] and len(raw[at]) == 3 and raw[at].isdecimal():
                _join_thousands(raw[at], out)
                at += 1
            continue
        token = ALIASES.get(token, token)
        if token in OPEN:
            if token == "{" and (end := _thousands_comma(raw, at)):
                _join_thousands(raw[end], out)
                at = end + 1
                continue
            depth += 1
            deepest = max(deepest, depth)
        elif token in CLOSE:
            depth -= 1
        elif token == "^" or token == "\\frac" or token == "\\sqrt":
            takes_arguments = True
        _put(token, out)
    if deepest > MAX_DEPTH:
        raise TooDeep
    while out and out[-1] == " ":
        out.pop()
    return _brace(out) if takes_arguments else out


def _without_delimiters(text: str) -> str:
    """The text without the ``$`` around formulas; a single one beside a number is a currency."""
    if len(_DOLLAR.findall(text)) == 1 and _AMOUNT.search(text):
        return text
    return _DOLLAR.sub(" ", text)


def _put(token: str, out: list[str]) -> None:
    """Append a token, but no second space, and no second comma after one that stands for "and"."""
    if not token:
        return
    if token.isspace():
        if out and out[-1] != " ":
            out.append(" ")
    elif token == "," and (out[-1:] == [","] or out[-2:] == [",", " "]):
        return
    elif token in (AND, OR):
        while out and out[-1] in (" ", ","):
            out.pop()
        out.append(token)
    else:
        out.append(token)


def _read_text(raw: list[str], at: int, command: str, out: list[str]) -> int:
    """Read ``{…}`` after a text command: each phrase becomes one token; numbers and signs stay as they are."""
    start = at
    while at < len(raw) and raw[at].isspace():
        at += 1
    if at == len(raw) or raw[at] != "{" or "}" not in raw[at:]:
        out.append(command)  # no reader accepts it
        return start
    end = raw.index("}", at)
    if "{" in raw[at + 1 : end]:
        out.append(command)
        return start
    content = "".join(raw[at + 1 : end]).replace("\\ ", " ").translate(_SPACES)
    if content[:1] == " ":
        _put(" ", out)
    content = " ".join(content.split())
    bare = content.strip(" ,")
    if not content:
        _put(" ", out)
    elif (alias := ALIASES.get(bare.removeprefix("\\"), "")) and (
        alias in (AND, OR, "%", "\\infty") or command == "\\operatorname"
    ):
        _put(alias, out)
    elif len(content) == 1 and (command in _BOLD or content in "ei"):
        _put(content, out)
    elif (
        _PHRASE.fullmatch(content)
        and AND not in (found := {ALIASES.get(word) for word in content.split()})
        and OR not in found
    ):
        out.append("'" + content)
    else:
        for token in _WORD.findall(content):
            alias = ALIASES.get(token, token)
            _put("'" + token if token[0].isalpha() and alias not in (AND, OR, "%") else alias, out)
    return end + 1


def _thousands_comma(raw: list[str], at: int) -> int:
    """After an opening brace: the position of the three digits that follow ``{,}``, or 0."""
    inside = [place for place in range(at, min(at + 6, len(raw))) if not raw[place].isspace()]
    if len(inside) >= 3:
        comma, close, digits = inside[:3]
        if raw[comma] == "," and raw[close] == "}" and len(raw[digits]) == 3 and raw[digits].isdecimal():
            return digits
    return 0


def _join_thousands(digits: str, out: list[str]) -> None:
    if out and out[-1] == ",":
        out.pop()
    if out and out[-1] == " ":
        out.pop()
    if out and out[-1].isdecimal():
        out[-1] += digits
    else:
        out.append(digits)


def _brace(tokens: list[str]) -> list[str]:
    r"""Put the arguments of ``\frac``, ``\sqrt`` and ``^`` in braces, as in ``\frac12`` or ``x^(1/2)``."""
    out: list[str] = []
    at = 0
    while at < len(tokens):
        at = _brace_one(tokens, at, out)
    return out


def _brace_one(tokens: list[str], at: int, out: list[str]) -> int:
    token = tokens[at]
    out.append(token)
    at += 1
    if token == "\\frac":
        at = _brace_argument(tokens, at, out, one_digit=True)
        return _brace_argument(tokens, at, out, one_digit=True)
    if token == "\\sqrt":
        if tokens[at : at + 1] == ["["]:
            while at < len(tokens) and out[-1] != "]":
                out.append(tokens[at])
                at += 1
        return _brace_argument(tokens, at, out)
    if token == "^":
        return _brace_argument(tokens, at, out)
    return at


def _brace_argument(tokens: list[str], at: int, out: list[str], *, one_digit: bool = False) -> int:
    if at < len(tokens) and tokens[at] == " ":
        at += 1
    if at >= len(tokens):
        return at
    token = tokens[at]
    out.append("{")
    if token == "{" or (token == "(" and not one_digit):
        closing = _OPEN[token]
        at += 1
        depth = 1
        while at < len(tokens):
            depth += (tokens[at] == token) - (tokens[at] == closing)
            if depth == 0:
                break
            at = _brace_one(tokens, at, out)
        at += 1
    elif one_digit and len(token) > 1 and token.isdecimal():
        out.append(token[0])
        tokens[at] = token[1:]
    else:
        if token in "+-" and at + 1 < len(tokens):
            out.append(token)
            at += 1
        if tokens[at] == "^" or tokens[at] in CLOSE:  # there is no argument
            out.append("}")
            return at
        at = _brace_one(tokens, at, out)
    out.append("}")
    return at


def split_top(tokens: list[str], *separators: str) -> list[list[str]]:
    """Split at separators outside brackets; spaces at the ends of the parts are removed."""
    parts: list[list[str]] = []
    start = depth = 0
    for at, token in enumerate(tokens):
        if token in OPEN:
            depth += 1
        elif token in CLOSE:
            depth -= 1
        elif depth == 0 and token in separators:
            parts.append(strip(tokens[start:at]))
            start = at + 1
    parts.append(strip(tokens[start:]))
    return parts


def strip(tokens: list[str]) -> list[str]:
    """The tokens without spaces at the ends."""
    first, last = 0, len(tokens)
    while first < last and tokens[first] == " ":
        first += 1
    while first < last and tokens[last - 1] == " ":
        last -= 1
    return tokens[first:last]


def glue(tokens: list[str]) -> str:
    """The tokens as one string, without spaces."""
    return "".join(token for token in tokens if token != " ")


def closes(tokens: list[str], at: int) -> int:
    """The position where the bracket opened at `at` closes, with any bracket, as in ``[0, 1)``; or -1."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += (tokens[place] in OPEN) - (tokens[place] in CLOSE)
        if depth == 0:
            return place
    return -1


def merge_thousands(tokens: list[str]) -> list[str]:
    """Join ``1,234`` to one token outside brackets; ``1,2`` and ``1, 234`` stay lists."""
    if "," not in tokens:
        return tokens
    out: list[str] = []
    at = depth = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0 and token.isdecimal() and len(token) <= 3 and token[0] != "0" and out[-1:] != ["."]:
            end = at
            while end + 1 < len(tokens) and tokens[end] == "," and tokens[end + 1].isdecimal():
                end += 2
            if end > at and all(len(part) == 3 for part in tokens[at + 1 : end : 2]):
                token = "".join([token, *tokens[at + 1 : end : 2]])
                at = end
            else:
                out += [token, *tokens[at:end]]
                at = end
                continue
        out.append(token)
    return out
