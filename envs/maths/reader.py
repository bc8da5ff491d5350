r"""The native reader: reads common kinds of mathematical answers exactly, without a computer-algebra system.

In: one stated answer in plain text or LaTeX. Out: a `MathAnswer`, or None if it is none of the kinds below or
does not state one value. No text raises, and reading takes time linear in the text.

Kinds::

    number    1,234   1{,}234   -2.5   .5   3/4   \frac34   1 1/2   50%   \$12   12 dollars   12\text{ cm}^2
              2 + 3 \cdot 4   3 \times 10^8                     (plain arithmetic, by `envs.arithmetic`)
    word      Monday   \text{even}   A   (A)   12:30   204_5
    several   1, 2   1 and 2   1 \pm 2   \{1, 2\}   (1, 2, 3)
    region    [0, 1)   (-\infty, 3]   [0, 1] \cup (2, 3)   x \in [0, 1)   0 \le x < 1   x > 5
    named     x = 5   (x, y) = (1, 2)   n = 1, 2   x = 1, y = 2   2 + 2 = 4

A number has at most 40 digits on either side of its decimal point. The sides of an equation must be equal
(``3 + 3 = 2`` states no value), except that the first side may be a name. Text after ``\approx`` is ignored.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from envs.grading import why_refused
from envs.maths.grammar import CLOSE, MAX_CHARS, OPEN, TooDeep, split_top, strip, tokenize
from envs.maths.numbers import read_number, read_numeral
from envs.maths.values import MAX_ITEMS, End, Kind, MathAnswer, Span, as_region, merge, named, same_answer
from envs.maths.vocabulary import NO_VALUE

MAX_NESTED = 4

_NAME = re.compile(
    r"[A-Za-z]{1,12}'?(?:_[A-Za-z0-9]{1,3}|_\{[A-Za-z0-9]{1,6}\})?(?:\([A-Za-z0-9,]{1,12}\))?"
    r"|\([A-Za-z](?:,[A-Za-z]){1,5}\)|\\[A-Za-z]{1,10}"
)
_WORD = re.compile(r"[A-Za-z]+(?:[ '-][A-Za-z]+){0,4}")
_DECIMAL_COMMA = re.compile(r"(-?)([0-9]{1,40}),([0-9]{1,40})")
_SPLITS = frozenset(("=", ",", "<", ">", "<=", ">="))
_SPLITS |= {"\\cup", "\\in", "\\pm", "\\approx", "\\infty", "\\emptyset", "\\begin", "\\boxed"}
_RELATIONS = frozenset(("<", ">", "<=", ">="))
_NO_LIMIT = Fraction(0)


def read_answer(text: str) -> MathAnswer | None:
    r"""Read a stated answer; None if it is none of the kinds above or exceeds a limit.

    Example: `read_answer(r"\frac{3}{4}")` is `MathAnswer(kind=Kind.NUMBER, value=Fraction(3, 4))`.
    """
    if why_refused(text, max_chars=MAX_CHARS) is not None:
        return None
    try:
        return read_tokens(tokenize(text))
    except TooDeep:
        return None


def read_tokens(tokens: list[str]) -> MathAnswer | None:
    """Like `read_answer`, for tokens from `envs.maths.grammar.tokenize`."""
    tokens = stated(tokens)
    if not tokens or len(tokens) > 300:
        return None
    if _SPLITS.isdisjoint(tokens):
        return _read_one(tokens, 0)
    if "\\approx" in tokens:
        tokens = before_approximation(tokens)
    return _read_equation(_merge_thousands(tokens))


def stated(tokens: list[str]) -> list[str]:
    r"""The tokens without a surrounding ``\boxed{}`` and without a final full stop or comma."""
    for _ in range(MAX_NESTED):
        tokens = strip(tokens)
        if tokens[-1:] in (["."], [","]) and tokens[-2:-1] not in (["."], [","]):
            tokens = tokens[:-1]
        elif tokens[:2] == ["\\boxed", "{"] and _closes(tokens, 1) == len(tokens) - 1:
            tokens = tokens[2:-1]
        elif tokens[:2] == ["\\boxed", "{"]:
            tokens = tokens[1:]  # a unit follows the box
        else:
            return tokens
    return tokens


def before_approximation(tokens: list[str]) -> list[str]:
    r"""The tokens before ``\approx``; after a name, all tokens with ``=`` in place of ``\approx``."""
    first = split_top(tokens, "\\approx")[0]
    if _NAME.fullmatch(_glue(first)) and "=" not in tokens:
        return ["=" if token == "\\approx" else token for token in tokens]
    return first


def name_of(tokens: list[str]) -> str:
    """The tokens as a name, such as ``x``, ``f(x)`` or ``(x,y)``; empty if they are none."""
    glued = _glue(tokens)
    if glued[:1] == "'" and _WORD.fullmatch(glued[1:]):
        return glued[1:]
    return glued if _NAME.fullmatch(glued) else ""


def _glue(tokens: list[str]) -> str:
    return "".join(token for token in tokens if token != " ")


def _closes(tokens: list[str], at: int) -> int:
    """The position where the bracket opened at `at` closes, with any bracket, as in ``[0, 1)``; or -1."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += (tokens[place] in OPEN) - (tokens[place] in CLOSE)
        if depth == 0:
            return place
    return -1


def _merge_thousands(tokens: list[str]) -> list[str]:
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


# ---- several values ----


def _read_equation(tokens: list[str]) -> MathAnswer | None:
    parts = split_top(tokens, ",")
    if len(parts) > 1 and all(len(split_top(part, "=")) == 2 for part in parts):
        return _several(Kind.LIST, [_read_sides(split_top(part, "="), 0) for part in parts])
    return _read_sides(split_top(tokens, "="), 0)


def _read_sides(sides: list[list[str]], depth: int) -> MathAnswer | None:
    if len(sides) > 6:
        return None
    name = name_of(sides[0]) if len(sides) > 1 else ""
    answers = [_read_values(side, depth) for side in (sides[1:] if name else sides)]
    answer = answers[-1]
    if name and name == _glue(sides[-1]):
        return None  # x = x
    if answer is None or any(other is None or not same_answer(other, answer) for other in answers):
        return None
    return named(answer, name) if name else answer


def _read_values(tokens: list[str], depth: int) -> MathAnswer | None:
    parts = split_top(tokens, ",")
    if len(parts) == 1:
        return _read_region(parts[0], depth)
    items = [_read_region(part, depth) for part in parts]
    if all(item is not None and item.kind is Kind.REGION for item in items):
        spans = [span for item in items if item is not None for span in item.spans]
        return MathAnswer(kind=Kind.REGION, spans=merge(spans))  # x < 1 or x > 3
    several = _several(Kind.LIST, items)
    if several is not None and (found := _DECIMAL_COMMA.fullmatch("".join(tokens))):
        sign, whole, decimals = found.groups()
        return replace(several, decimal=Fraction(int(sign + whole + decimals), 10 ** len(decimals)))
    return several


def _several(kind: Kind, items: list[MathAnswer | None]) -> MathAnswer | None:
    flat: list[MathAnswer] = []
    for item in items:
        if item is None:
            return None
        flat += item.items if item.kind is Kind.LIST and not item.name else (item,)
    if (not flat and kind is not Kind.SET) or len(flat) > MAX_ITEMS:
        return None
    return MathAnswer(kind=kind, items=tuple(flat))


def _read_region(tokens: list[str], depth: int) -> MathAnswer | None:
    r"""Read tokens without a top-level comma: a union, ``x \in``, an inequality, ``\pm``, or one value."""
    if _SPLITS.isdisjoint(tokens):
        return _read_one(tokens, depth)
    parts = split_top(tokens, "\\in")
    if len(parts) == 2 and (name := name_of(parts[0])):
        region = _read_region(parts[1], depth + 1) if depth < MAX_NESTED else None
        spans = as_region(region) if region else None
        return MathAnswer(kind=Kind.REGION, spans=spans, name=name) if spans else None
    parts = split_top(tokens, "\\cup")
    if len(parts) > 1:
        answers = [_read_one(part, depth) for part in parts]
        regions = [as_region(answer) if answer else None for answer in answers]
        if len(parts) > MAX_ITEMS or any(region is None for region in regions):
            return None
        return MathAnswer(kind=Kind.REGION, spans=merge([span for region in regions for span in region or ()]))
    parts = split_top(tokens, *_RELATIONS)
    if len(parts) > 1:
        return _read_inequality(tokens, parts)
    parts = split_top(tokens, "\\pm")
    if len(parts) == 2:
        centre = read_number(parts[0]) if parts[0] else MathAnswer(kind=Kind.NUMBER)
        radius = read_number(parts[1])
        if centre is None or radius is None or centre.is_percent or radius.is_percent:
            return None
        low = MathAnswer(kind=Kind.NUMBER, value=centre.value - radius.value)
        high = MathAnswer(kind=Kind.NUMBER, value=centre.value + radius.value)
        return MathAnswer(kind=Kind.LIST, items=(low, high))
    return _read_one(tokens, depth)


def _read_inequality(tokens: list[str], parts: list[list[str]]) -> MathAnswer | None:
    """Read an inequality such as ``x < 5``, ``5 >= x`` or ``0 <= x < 1``."""
    signs = [token for token in tokens if token in _RELATIONS]
    if len(signs) != len(parts) - 1 or len(parts) > 3:
        return None
    if len(parts) == 2:
        at = 0 if name_of(parts[0]) else 1
        name, number = name_of(parts[at]), _read_end(parts[1 - at])
        if not name or number is None:
            return None
        below = (signs[0][0] == "<") == (at == 0)
        is_open = len(signs[0]) == 1
        low, high = (End(-1, _NO_LIMIT), number) if below else (number, End(1, _NO_LIMIT))
        span = Span(low, high, (not below and is_open) or below, (below and is_open) or not below)
        return MathAnswer(kind=Kind.REGION, spans=(span,), name=name)
    name, first, last = name_of(parts[1]), _read_end(parts[0]), _read_end(parts[2])
    if not name or first is None or last is None or signs[0][0] != signs[1][0]:
        return None
    opens = [len(sign) == 1 for sign in signs]
    if signs[0][0] == ">":
        first, last = last, first
        opens.reverse()
    if first >= last:
        return None
    return MathAnswer(kind=Kind.REGION, spans=(Span(first, last, opens[0], opens[1]),), name=name)


def _read_end(tokens: list[str]) -> End | None:
    answer = _read_one(tokens, 0)
    return answer.end() if answer is not None and answer.kind is Kind.NUMBER else None


# ---- one value ----


def _read_one(tokens: list[str], depth: int) -> MathAnswer | None:
    tokens = strip(tokens)
    if not tokens or depth > MAX_NESTED:
        return None
    first = tokens[0]
    if first in OPEN and _closes(tokens, 0) == len(tokens) - 1:
        return _read_group(tokens, depth)
    if tokens[-1] in ("\\infty", "\\emptyset", "}") and (found := _read_constant(_glue(tokens))):
        return found
    if first[0].isdecimal() or first in ("-", "+", ".", "\\frac", "(", "{"):
        return read_number(tokens) or read_numeral("".join(tokens))
    return _read_word(tokens)


def _read_constant(glued: str) -> MathAnswer | None:
    if glued in ("\\infty", "+\\infty", "-\\infty"):
        return MathAnswer(kind=Kind.NUMBER, infinity=-1 if glued[0] == "-" else 1)
    if glued == "\\emptyset":
        return MathAnswer(kind=Kind.SET)
    if glued == "\\mathbb{R}":
        return MathAnswer(kind=Kind.REGION, spans=(Span(End(-1, _NO_LIMIT), End(1, _NO_LIMIT), True, True),))
    return None


def _read_group(tokens: list[str], depth: int) -> MathAnswer | None:
    opening, closing = tokens[0], tokens[-1]
    inner = strip(tokens[1:-1])
    pair = opening + closing
    if pair == "\\{\\}" and not inner:
        return MathAnswer(kind=Kind.SET)
    parts = split_top(inner, ",")
    if len(parts) > MAX_ITEMS:
        return None
    if len(parts) == 1 and pair in ("()", "{}"):
        answer = read_number(tokens) or _read_region(inner, depth + 1)
        if pair == "()" and answer is not None and answer.kind is Kind.WORD and len(answer.word) == 1:
            return MathAnswer(kind=Kind.WORD, word=answer.word)  # a choice
        return answer
    items = [_read_region(part, depth + 1) for part in parts]
    if pair == "\\{\\}":
        return _several(Kind.SET, items)
    if pair == "{}":
        return _several(Kind.LIST, items)
    if any(item is not None and item.kind is Kind.LIST for item in items):
        return None
    if pair in ("[)", "(]") or (pair == "[]" and len(items) == 2):
        ends = [item.end() for item in items if item is not None and item.kind is Kind.NUMBER]
        if len(ends) == len(items) == 2 and ends[0] < ends[1]:
            return MathAnswer(kind=Kind.REGION, spans=(Span(ends[0], ends[1], opening == "(", closing == ")"),))
        if pair != "[]":
            return None
    return _several(Kind.TUPLE, items) if pair in ("()", "[]") else None


def _read_word(tokens: list[str]) -> MathAnswer | None:
    is_text = any(token[0] == "'" and len(token) > 1 for token in tokens)
    joined = " ".join(
        "".join(token[1:] if token[0] == "'" and len(token) > 1 else token for token in tokens).split()
    )
    if len(joined) == 3 and joined[0] == "(" and joined[2] == ")" and joined[1].isalpha() and joined.isascii():
        return MathAnswer(kind=Kind.WORD, word=joined[1])
    if len(joined) > 64 or not _WORD.fullmatch(joined) or joined.casefold() in NO_VALUE:
        return None
    if is_text or any(len(part) > 4 for part in joined.split()):
        return MathAnswer(kind=Kind.WORD, word=joined if len(joined) == 1 else joined.casefold())
    return MathAnswer(kind=Kind.WORD, word=joined if len(joined) == 1 else joined.casefold(), is_bare=True)
