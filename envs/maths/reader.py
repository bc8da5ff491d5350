r"""The native reader: reads mathematical answers exactly, without computer algebra.

In: one stated answer in plain text or LaTeX. Out: a `MathAnswer`, or None if it is none of the kinds below or
does not state one value. No text raises, and reading takes time linear in the text.

Kinds::

    number    1,234   1{,}234   -2.5   .5   3/4   \frac34   1 1/2   50%   \$12   12 dollars   12\text{ cm}^2
              3e8   2 + 3 \cdot 4   3 \times 10^8   2.5 million   twelve   0.\overline{3}
    formula   \frac{\sqrt2}{2}   9\pi \text{ cm}^2   x^2 + 2x   1 + 2i   f'(x)
    relation  2x + 4y = 3   y > 2x
    word      Monday   \text{even}   A   (A)   E) 12   204_5   March 5, 2024
    time      12:30   3:30 PM
    several   1, 2   1 and 2   1 \pm \sqrt2   \{1, 2\}   (1, 2, 3)   \begin{pmatrix} 1 \\ 2 \end{pmatrix}
    region    [0, 1)   (-\infty, 3]   [0, 1] \cup (2, 3)   x \in [0, 1)   0 \le x < \sqrt2   x > 5
              x < 1 or x > 3   x \ne 2   \mathbb{R} \setminus \{2\}
    named     x = 5   (x, y) = (1, 2)   n = 1, 2   x = 1, y = 2   2 + 2 = 4

The sides of an equation between numbers must be equal (``3 + 3 = 2`` states no value), except that the first
side may be a name. What follows ``\approx`` must be what precedes it, rounded; the value is what precedes,
unless that is a name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from envs.grading import why_refused
from envs.maths.algebra import read_tree
from envs.maths.equality import Comparison, is_rounding
from envs.maths.grammar import (
    MAX_CHARS,
    OPEN,
    TooDeep,
    closes,
    merge_thousands,
    split_top,
    strip,
    tokenize,
)
from envs.maths.matrices import read_matrix
from envs.maths.numerals import Tree
from envs.maths.options import split_option
from envs.maths.regions import (
    RELATIONS,
    as_spans,
    condition,
    exact_end,
    intersection,
    overlap,
    read_inequality,
    without,
)
from envs.maths.single import name_of, read_phrase, read_plain, read_single
from envs.maths.spelling import respell
from envs.maths.values import MAX_ITEMS, Kind, MathAnswer, Span
from envs.maths.vocabulary import AND, OR

MAX_NESTED = 4
MAX_TOKENS = 300
_MAX_SIDES = 6
_PLAIN = re.compile(r"-?[0-9]{1,30}(?:,[0-9]{3}){0,5}(?:\.[0-9]{1,30})?|-?[0-9]{1,30}/[0-9]{1,30}")
_DECIMAL_COMMA = re.compile(r"(-?)([0-9]{1,40}),([0-9]{1,40})")
_SEPARATORS = (",", OR, AND)
_SPLITS = RELATIONS | {
    "=",
    *_SEPARATORS,
    "\\cup",
    "\\cap",
    "\\setminus",
    "\\in",
    "\\pm",
    "\\mp",
    "\\approx",
    "\\boxed",
}
_NATIVE = Comparison()


class RefusedError(ValueError):
    """The text exceeds a limit or has characters that no answer has; the message is the reason."""


def read(text: str) -> MathAnswer | None:
    """Read a stated answer; None if it is none of the kinds above.

    Raises:
        RefusedError: The text was not read.
    """
    if _PLAIN.fullmatch(text) and (found := read_plain(text)):
        return found
    if len(text) > MAX_CHARS:
        raise RefusedError(f"{len(text)} characters, at most {MAX_CHARS}")
    text = respell(text)
    if reason := why_refused(text, max_chars=MAX_CHARS):
        raise RefusedError(reason)
    try:
        return read_tokens(tokenize(text))
    except TooDeep:
        raise RefusedError("brackets nested too deep") from None


def read_answer(text: str) -> MathAnswer | None:
    r"""Read a stated answer; None if it is none of the kinds above or exceeds a limit.

    Example: `read_answer(r"\frac{3}{4}")` is `MathAnswer(kind=Kind.NUMBER, value=Fraction(3, 4))`.
    """
    try:
        return read(text)
    except RefusedError:
        return None


def read_tokens(tokens: list[str]) -> MathAnswer | None:
    """Like `read_answer`, for tokens from `envs.maths.grammar.tokenize`."""
    tokens = stated(tokens)
    if not tokens or len(tokens) > MAX_TOKENS:
        return None
    if _SPLITS.isdisjoint(tokens):
        return _read_option(tokens) or _read_one(tokens, 0)
    found = _read_option(tokens) or _read_long_phrase(tokens)
    if found is not None:
        return found
    if "\\approx" in tokens:
        return _read_rounded(tokens)
    return _read_statement(tokens)


def stated(tokens: list[str]) -> list[str]:
    r"""The tokens without a surrounding ``\boxed{}`` and without a final full stop or comma."""
    for _ in range(MAX_NESTED):
        tokens = strip(tokens)
        if tokens[-1:] in (["."], [","]) and tokens[-2:-1] not in (["."], [","]):
            tokens = tokens[:-1]
        elif tokens[:2] == ["\\boxed", "{"] and closes(tokens, 1) == len(tokens) - 1:
            tokens = tokens[2:-1]
        elif tokens[:2] == ["\\boxed", "{"]:
            tokens = tokens[1:]  # a unit follows the box
        else:
            return tokens
    return tokens


def _read_option(tokens: list[str]) -> MathAnswer | None:
    r"""An option with its text: ``E)``, ``(E) 12``, ``E: a text``, ``\textbf{(E)}\ 12``, ``Option E``."""
    option = split_option(tokens)
    if option is None:
        return None
    content = read_tokens(option.text) if option.text else None
    if option.in_brackets and option.text and content is None:
        return None
    return MathAnswer(kind=Kind.WORD, word=option.letter, items=(content,) if content else ())


def _read_long_phrase(tokens: list[str]) -> MathAnswer | None:
    """A phrase with "and" or a comma: ``one hundred and five``, ``March 5, 2024``."""
    if len(tokens) > 24 or not tokens[0].removeprefix("'")[:1].isalnum():
        return None
    return read_phrase(["and" if token == AND else token for token in _spaced(tokens)])


def _spaced(tokens: list[str]) -> list[str]:
    out: list[str] = []
    for at, token in enumerate(tokens):
        before = at and tokens[at - 1] != " " and token == AND
        out += [" ", token] if before else [token]
    return out


def _read_rounded(tokens: list[str]) -> MathAnswer | None:
    r"""``\pi \approx 3.14``: a value and its rounding, or a rounding alone."""
    sides = split_top(tokens, "\\approx")
    if len(sides) != 2:
        return None
    if not sides[0]:
        return _read_statement(sides[1])
    if name_of(sides[0]) and sides[0] != ["\\pi"]:
        return _read_statement([*sides[0], "=", *sides[1]])
    exact, rounded = _read_statement(sides[0]), _read_statement(sides[1])
    if exact is None or rounded is None or rounded.kind is not Kind.NUMBER:
        return None
    if exact.kind is Kind.NUMBER:
        return exact if is_rounding(exact.value, rounded.value) else None
    if exact.kind in (Kind.FORMULA, Kind.WORD) and exact.tree is not None and not exact.name:
        return replace(exact, kind=Kind.FORMULA, word="", is_bare=False, items=(rounded,))
    return None


def _read_statement(tokens: list[str]) -> MathAnswer | None:
    tokens = merge_thousands(tokens)
    if "=" in tokens:
        parts = split_top(tokens, *_SEPARATORS)
        if len(parts) > 1 and all(len(split_top(part, "=")) >= 2 for part in parts):
            return _several(Kind.LIST, [_read_sides(split_top(part, "="), 0) for part in parts])
    return _read_sides(split_top(tokens, "="), 0)


def _read_sides(sides: list[list[str]], depth: int) -> MathAnswer | None:
    if len(sides) > _MAX_SIDES:
        return None
    if len(sides) == 1:
        return _read_values(sides[0], depth)
    if not sides[0]:
        return _read_sides(sides[1:], depth)
    if len(sides) == 2 and name_of(sides[1]) and not name_of(sides[0]):
        sides = sides[::-1]  # 5 = x
    name = name_of(sides[0])
    if name and len(sides) == 2 and name == name_of(sides[1]):
        return None  # x = x
    answers = [_read_values(side, depth) for side in (sides[1:] if name else sides)]
    if any(answer is None for answer in answers):
        return None
    known = [answer for answer in answers if answer is not None]
    relation = _equation(sides) if len(sides) == 2 else None
    if len(known) == 1:
        return replace(known[0], name=name, relation=relation if known[0].kind is Kind.FORMULA else None)
    last = known[-1]
    value = replace(last, is_computed=False)
    found = [_NATIVE.same(replace(other, is_computed=False), value) for other in known]
    if False in found and None not in found and all(answer.kind is Kind.NUMBER for answer in known):
        return None
    if all(found):
        return replace(last, name=name) if name else last
    if relation is not None:
        return MathAnswer(kind=Kind.RELATION, relation=relation, items=_chained(known), name=name)
    if any(answer.kind is Kind.RELATION for answer in known):
        return None
    return MathAnswer(kind=Kind.CHAIN, items=_chained(known), name=name)


def _chained(answers: list[MathAnswer]) -> tuple[MathAnswer, ...]:
    """The sides of a chain; all but the last may be left to compute."""
    return (*(replace(answer, is_computed=False) for answer in answers[:-1]), answers[-1])


def _equation(sides: list[list[str]]) -> Tree | None:
    left, right = (read_tree(side) for side in sides)
    return None if left is None or right is None else ("rel", "=", left, right)


def _read_values(tokens: list[str], depth: int) -> MathAnswer | None:
    parts = split_top(tokens, *_SEPARATORS)
    if len(parts) == 1:
        return _read_region(parts[0], depth)
    if len(parts) > MAX_ITEMS:
        return None
    items = [_read_region(part, depth) for part in parts]
    if all(item is not None and item.kind is Kind.REGION for item in items):
        regions = [item for item in items if item is not None]
        is_both = AND in tokens or any("!=" in part for part in parts)
        if is_both and all(region.name for region in regions):
            return intersection(regions)
        spans = tuple(span for region in regions for span in region.spans)
        return None if overlap(spans) else MathAnswer(kind=Kind.REGION, spans=spans)
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
    if not tokens:
        return None
    if _SPLITS.isdisjoint(tokens) or (tokens[0] in OPEN and closes(tokens, 0) == len(tokens) - 1):
        return _read_one(tokens, depth)
    parts = split_top(tokens, "\\in")
    if len(parts) == 2 and (name := name_of(parts[0])):
        region = _read_region(parts[1], depth + 1) if depth < MAX_NESTED else None
        if region is None or region.kind not in (Kind.REGION, Kind.SET, Kind.TUPLE):
            return None
        return replace(region, name=name)
    parts = split_top(tokens, "\\cup", "U")
    if len(parts) > 1:
        answers = [_read_region(part, depth) for part in parts]
        spans: list[Span] = []
        for answer in answers:
            region_spans = as_spans(answer)
            if region_spans is None or len(spans) > MAX_ITEMS:
                return None
            spans += region_spans
        return MathAnswer(kind=Kind.REGION, spans=tuple(spans))
    parts = split_top(tokens, "\\setminus")
    if len(parts) == 2:
        return without(_read_region(parts[0], depth), _read_region(parts[1], depth))
    parts = split_top(tokens, *RELATIONS)
    if len(parts) > 1:
        return read_inequality(tokens, parts)
    if "\\pm" in tokens or "\\mp" in tokens:
        return _read_both_signs(tokens, depth)
    return _read_one(tokens, depth)


def _read_both_signs(tokens: list[str], depth: int) -> MathAnswer | None:
    r"""The two values of a formula with ``\pm``, and with ``\mp`` for the opposite sign."""
    if tokens.count("\\pm") != 1:
        return None
    signs = ({"\\pm": "-", "\\mp": "+"}, {"\\pm": "+", "\\mp": "-"})
    items = [_read_one([sign.get(token, token) for token in tokens], depth) for sign in signs]
    if any(item is None or item.kind not in (Kind.NUMBER, Kind.FORMULA) or item.is_percent for item in items):
        return None
    return _several(Kind.LIST, [replace(item, is_computed=False) if item else None for item in items])


def _read_one(tokens: list[str], depth: int) -> MathAnswer | None:
    tokens = strip(tokens)
    if not tokens or depth > MAX_NESTED:
        return None
    if tokens[0] in OPEN and closes(tokens, 0) == len(tokens) - 1:
        return _read_group(tokens, depth)
    if "\\begin" in tokens:
        return read_matrix(tokens, lambda cell: _read_region(cell, depth + 1))
    return read_single(tokens)


def _read_group(tokens: list[str], depth: int) -> MathAnswer | None:
    opening, closing = tokens[0], tokens[-1]
    inner = strip(tokens[1:-1])
    pair = opening + closing
    if pair == "\\{\\}" and not inner:
        return MathAnswer(kind=Kind.SET)
    parts = split_top(inner, *_SEPARATORS)
    if len(parts) > MAX_ITEMS:
        return None
    if pair == "\\{\\}" and (inside := condition(inner)):
        found = _read_values(inside, depth + 1)
        return found if found is not None and found.kind is Kind.REGION else None
    if len(parts) == 1 and pair in ("()", "{}", "[]"):
        if (
            pair == "()"
            and len(inner) == 1
            and len(letter := inner[0].removeprefix("'")) == 1
            and letter.isalpha()
        ):
            tree = read_tree(inner)
            return MathAnswer(kind=Kind.WORD, word=letter, tree=tree)  # an option
        return _read_region(inner, depth + 1)
    items = [_read_region(part, depth + 1) for part in parts]
    if pair == "\\{\\}":
        return _several(Kind.SET, items)
    if pair == "{}":
        return _several(Kind.LIST, items)
    if any(item is not None and item.kind is Kind.LIST for item in items):
        return None
    if pair in ("[)", "(]") or (pair == "[]" and len(items) == 2):
        ends = [
            item for item in items if item is not None and item.kind in (Kind.NUMBER, Kind.FORMULA, Kind.WORD)
        ]
        if len(ends) == len(items) == 2:
            low, high = exact_end(ends[0]), exact_end(ends[1])
            if low is None or high is None or low < high:
                ends = [
                    replace(end, kind=Kind.FORMULA, word="", is_bare=False) if end.kind is Kind.WORD else end
                    for end in ends
                ]
                span = Span(ends[0], ends[1], opening == "(", closing == ")")
                if all(end.kind is Kind.NUMBER or end.tree is not None for end in ends):
                    return MathAnswer(kind=Kind.REGION, spans=(span,))
        if pair != "[]":
            return None
    return _several(Kind.TUPLE, items) if pair in ("()", "[]") else None
