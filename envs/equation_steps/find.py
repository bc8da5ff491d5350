r"""Finds the equations of a mathematical text.

In: any text, with formulas in ``$…$``, ``\(…\)``, ``\[…\]``, environments such as ``align*``, or plain. Out:
the places of its equations, each a text that `chains.py` reads alone, or one of arithmetic in ordinary words
(`envs.arithmetic_steps`). A formula is cut at commas, words, arrows and ends of rows; a row that starts with
``=`` goes on from the one before.

Linear in the text; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from envs.arithmetic_steps import find_equations

Place = tuple[int, int]
MAX_FORMULA = 4000
_ENVIRONMENTS = "align|aligned|alignat|equation|gather|gathered|eqnarray|multline|split|displaymath|math"
_DELIMITER = re.compile(
    rf"\\(?:begin|end)\{{(?:{_ENVIRONMENTS})\*?\}}|\$\$|\\\$|\$|\\\[|\\\]|\\\(|\\\)|\n[ \t]*\n"
)
_CLOSING = {"$$": "$$", "$": "$", "\\[": "\\]", "\\(": "\\)"}
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,} +[A-Za-z]{2,}")
_CONNECTIVE = re.compile(
    r"(?<![A-Za-z])(?:and|or|so|for|if|then|thus|since|when|where|hence|therefore|which|is|we|implies|gives|have|to|get)"
    r"(?![A-Za-z])"
)
_CUT = re.compile(
    r"(?P<text>\\(?:text|textbf|textrm|mbox|intertext|tag)\*? ?\{[^{}]{0,200}\})"
    r"|(?P<row>\\\\(?:\[[^\]\n]{0,12}\])?(?P<more>[ \t\n]*&?[ \t\n]*(?:=|\\approx(?![A-Za-z])))?)"
    r"|(?P<edge>\\(?:begin|end)\{[A-Za-z]{1,12}\*?\}(?:\{[^{}]{0,20}\})?)"
    r"|(?P<arrow>\\(?:quad|qquad|implies|impliedby|iff|to|therefore|because|land|lor|wedge|vee|"
    r"(?:Long|long)?(?:left)?(?:R|r)ightarrow|(?:Long)?Leftrightarrow)(?![A-Za-z])|[⇒⟹→⇔∴])"
    r"|(?P<command>\\(?:[A-Za-z]+|.))"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    r"|(?P<comma>,(?![0-9]{3}(?![0-9]))|;|\.(?=[ \n]|$)|:)",
    re.DOTALL,
)
_ATOM = (
    r"(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+|(?<![A-Za-z])(?:[A-Za-z](?:_[0-9A-Za-z])?'?|sqrt|sin|cos|tan|log|ln|pi)(?![A-Za-z])"
    r"|(?<=[0-9])[A-Za-z]{1,3}(?![A-Za-z])|\\(?:frac|dfrac|sqrt|cdot|times|div|pi|pm|left|right|boxed)(?![A-Za-z])"
    r"|[-+*/^=()\[\]{}×·÷−±√²³π½¼¾!|])"
)
_RUN = re.compile(rf"{_ATOM}(?: {{0,2}}{_ATOM})*+")
_LONE = re.compile(r"^(?:[aAI] +(?=[0-9(]))+")
_MAX_RUN = 300


def find_places(text: str) -> list[Place]:
    """Where the equations of a text stand, in order. Never raises."""
    found: list[Place] = []
    at = 0
    for start, end in _formulas(text):
        found += _in_words(text, at, start)
        found += _in_formula(text, start, end)
        at = end
    found += _in_words(text, at, len(text))
    return found


# ---- formulas ----


def _formulas(text: str) -> Iterator[Place]:
    """The contents of formulas, in order."""
    opened: tuple[str, int] | None = None
    for match in _DELIMITER.finditer(text):
        mark = match[0]
        if mark == "\\$":
            continue
        if opened is None:
            if mark in _CLOSING or mark.startswith("\\begin"):
                opened = mark, match.end()
        elif mark == opened[0] == "$" and not _may_close(text, opened[1], match):
            opened = mark, match.end()  # a sign of money was before
        elif _closes(opened[0], mark):
            if _is_formula(text[opened[1] : match.start()], opened[0]):
                yield opened[1], match.start()
                opened = None
            else:
                opened = (mark, match.end()) if mark == "$" else None
        elif not mark.strip() and opened[0] in ("$", "\\("):
            opened = None


def _may_close(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a ``$`` may end a formula: it touches it, unless spaces are at both ends; no digit follows."""
    at, end = match.span()
    touches = not text[at - 1].isspace() or text[start].isspace()
    return touches and not (text[end : end + 1].isdecimal() and not text[start].isspace())


def _closes(opening: str, mark: str) -> bool:
    if opening.startswith("\\begin"):
        return mark == opening.replace("\\begin", "\\end")
    return mark == _CLOSING[opening]


def _is_formula(content: str, opening: str) -> bool:
    if len(content) > MAX_FORMULA or not content.strip():
        return False
    return opening != "$" or not _PROSE.search(content)


def _in_formula(text: str, start: int, end: int) -> Iterator[Place]:
    """The equations of a formula: its content, cut where one ends."""
    first = at = start
    depth = 0
    while match := _CUT.search(text, at, end):
        at = match.end()
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "command":
            depth = max(0, depth + (match[0] == "\\{") - (match[0] == "\\}"))
        elif (
            kind == "more"
            or match["more"]
            or (kind == "comma" and depth)
            or (kind == "text" and not _separates(match[0]))
        ):
            pass
        else:
            yield from _trimmed(text, first, match.start())
            first, depth = at, 0
    yield from _trimmed(text, first, end)


def _separates(command: str) -> bool:
    """Whether words in a formula are more than a unit or a name."""
    inner = command[command.index("{") + 1 : -1]
    return (
        not command.startswith("\\text")
        or command.startswith("\\textbf")
        or bool(_CONNECTIVE.search(inner))
        or inner.count(" ") > 3
    )


def _trimmed(text: str, start: int, end: int) -> Iterator[Place]:
    while start < end and text[start] in " \t\n&.,":
        start += 1
    while start < end and text[end - 1] in " \t\n&.,":
        end -= 1
    piece = text[start:end]
    if "=" in piece or "\\approx" in piece or "≈" in piece:
        yield start, end


# ---- ordinary text ----


def _in_words(text: str, start: int, end: int) -> Iterator[Place]:
    """Equations of arithmetic, and of formulas with letters, in ordinary text."""
    part = text[start:end]
    if "=" not in part and "equal" not in part and " is " not in part:
        return
    runs = [place for match in _RUN.finditer(part) if (place := _run(part, *match.span())) is not None]
    places = [equation.span for equation in find_equations(part)]
    kept = [place for place in places if not any(first < place[1] and place[0] < last for first, last in runs)]
    yield from ((start + first, start + last) for first, last in sorted(runs + kept))


def _run(text: str, start: int, end: int) -> Place | None:
    """A stretch of signs as an equation with letters; None if it has none, or is cut off by a word."""
    run = text[start:end]
    if run.count("=") == 0 or end - start > _MAX_RUN:
        return None
    if lone := _LONE.match(run):
        start += lone.end()
    while start < end and text[end - 1] in " ([{":
        end -= 1
    while start < end and text[start] in " )]}":
        start += 1
    run = text[start:end]
    has_letters = any(letter.isalpha() for letter in re.sub(r"\\[a-z]+", "", run))
    if not has_letters or run[:1] in tuple("=+*/^×·÷") or run[-1:] in tuple("=+-*/^×·÷−"):
        return None
    return start, end
