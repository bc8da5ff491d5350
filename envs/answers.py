r"""The answer of a text in a model's own words: which forms are taken, and when a text states none.

In: a completion, without its thoughts, and the forms that a task takes. Out: the answer with its form, or the
reason why there is none. `statements.py` finds what a text states. The rules:

1. The last statement counts. All statements after the last sentence that goes back ("Wait, ...",
   `markers.py`) must agree with it; otherwise the text has no answer. A closing line and a box that differ are
   no answer, whatever stands between. Statements agree if they are the same number or, for the task, equal.
2. An earlier box stands for a result on the way, unless it is on the line of the last one.
3. After the last statement only remarks may follow: nothing that goes back, denies it or adds an alternative
   ("or 6"), and, except after a box, no text whose last number is another one.
4. What one statement holds is judged as it stands: "5 or 6" is no number, and is graded so.
5. A closing line that ends the text is the task's own form; a text may have no other closing line in it.

The closing line is always taken. `bare` is a text that is nothing but an answer, and `last_number`, off by
default, takes the last number of a text that states no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from envs.markers import mark
from envs.segments import Span, find_blocks
from envs.statements import MAX_CHARS, Statement, UnpairedTags, clean, find_statements, is_grid, is_short
from envs.trace import CLOSING, AnswerForm, Status, Step, StepKind, parse_trace

DEFAULT_FORMS: Final = tuple(form for form in AnswerForm if form is not AnswerForm.LAST_NUMBER)

NOTHING_STATED = "no answer is stated"
DISAGREE = "stated answers disagree"
GOES_BACK = "it goes back after its answer"
GOES_ON = "another number or answer follows its answer"
UNPAIRED = "answer tags are not in pairs"

_BEST = (AnswerForm.BOX, AnswerForm.TAGS, AnswerForm.HASHES, AnswerForm.LABEL, AnswerForm.SENTENCE)
_REVISES = re.compile(
    r"(?<![A-Za-z])(?:wait|(?:no|actually|rather|correction|sorry|oops)[,.:;!—–-])", re.IGNORECASE
)
_DENIES = re.compile(
    r"(?<![A-Za-z])(?:wrong|incorrect|mistaken?|scratch that|disregard|ignore that|take (?:that|it) back"
    r"|not (?:right|correct|true|the answer)|isn['’]t (?:right|correct|true))(?![A-Za-z])",
    re.IGNORECASE,
)
_ADDS = re.compile(
    r"[ \t\r\n.,;:!)\]$*_'\"\\-]{0,12}(?:or|nor|but|however|although|though|unless|otherwise|alternatively"
    r"|maybe|perhaps|possibly|on the other hand)(?![A-Za-z])",
    re.IGNORECASE,
)
_OR_BEFORE = re.compile(
    r"(?<![A-Za-z])(?:or|nor|not|never|cannot|[a-z]{2,6}n['’]t|can['’]t|either)"
    r"(?: be| equal| necessarily)?[ \n$*_(\\[]{0,6}$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|-?\.[0-9]+")
_SAYS = re.compile(r"\\boxed|<|\?|(?<![A-Za-z])(?:is|are|was|be|it|not|answer)(?![A-Za-z])", re.IGNORECASE)
_UNITS = re.compile(r"\\text\{[^{}]{0,40}\}|\\[$ ,!]|[$*_.]|(?<![A-Za-z\\])[A-Za-z]{2,}|[ \t\r\n]")
_BLANKS = re.compile(r"[ \t]*+")
_MARKS = " \t\r\n$\\[]()*_.`"  # around a box
_MOST_MARKS = 16
_MOST_ITEMS = 16  # in a line of a text that is nothing but an answer
_KEPT = re.compile(r"[^a-z0-9.+/^<>|&%()\[\]{}\\-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """What a text states.

    Attributes:
        answer: The answer, or None if the text states none.
        form: The form of the answer; None with it.
        spans: Places of the statements at the end of the text, which are no steps.
        why_not: The rule by which a text has no answer; empty if it has one.
    """

    answer: str | None = None
    form: AnswerForm | None = None
    spans: tuple[Span, ...] = ()
    why_not: str = ""


def read_stated(
    text: str,
    forms: Collection[AnswerForm],
    same: Callable[[str, str], bool],
    bare: Callable[[str], bool] | None = None,
) -> Stated:
    r"""Find the answer of a text; takes time linear in its length and never raises.

    Args:
        text: The text.
        forms: The forms that are taken; the closing line always is.
        same: Whether the task holds two spellings for the same answer.
        bare: Whether a whole text is nothing but an answer of the task; None for `is_bare`.

    Example: "We get 72.\n\nSo the answer is **72**." states 72 in a sentence; with "I mean 73." after it, none.
    """
    strict = _closing_line(text)
    try:
        found = find_statements(text, forms)
    except UnpairedTags:
        return Stated(why_not=UNPAIRED)
    if strict is not None:
        found = _with_closing_line(found, strict)
    if not found:
        return _without_statement(text, forms, bare or is_bare)
    found = found[_first_after_going_back(text, found) :]
    last = found[-1]
    if not all(_agree(one, last, same) for one in found[:-1]) or _OR_BEFORE.search(
        text[max(0, last.at[0] - 20) : last.at[0]].removesuffix("\\boxed{")
    ):
        return Stated(why_not=DISAGREE)
    if strict is None and (why_not := _spoiled_by(text[last.span[1] :], last)):
        return Stated(why_not=why_not)
    best = _best(found)
    form = AnswerForm.CLOSING_LINE if strict is not None else best.form
    return Stated(answer=best.answer, form=form, spans=_at_the_end(text, found))


def _closing_line(text: str) -> Statement | None:
    """The closing line, if it is the only one and ends the text."""
    trace = parse_trace(text)
    if trace.status is not Status.COMPLETE or trace.answer is None:
        return None
    start = text.rindex(CLOSING) if CLOSING not in trace.answer else text.index(f"{CLOSING}{trace.answer}.")
    at = (start + len(CLOSING), start + len(CLOSING) + len(trace.answer))
    return Statement(AnswerForm.CLOSING_LINE, trace.answer, (start, at[1] + 1), at)


def _with_closing_line(found: Sequence[Statement], line: Statement) -> list[Statement]:
    """The statements before the closing line, and what it states: a box or tags in it, or else all of it."""
    before = [one for one in found if one.span[0] < line.span[0]]
    inner = [one for one in found if one.at[0] >= line.at[0] and one.form in (AnswerForm.BOX, AnswerForm.TAGS)]
    return [*before, *(one._replace(span=line.span) for one in inner)] if inner else [*before, line]


def _without_statement(text: str, forms: Collection[AnswerForm], bare: Callable[[str], bool]) -> Stated:
    if AnswerForm.BARE in forms and 0 < len(text.strip()) <= MAX_CHARS and bare(text.strip()):
        spans = () if "=" in text else ((0, len(text)),)  # an equation is a step, too
        return Stated(answer=text.strip(), form=AnswerForm.BARE, spans=spans)
    if AnswerForm.LAST_NUMBER in forms and (numbers := _NUMBER.findall(text)):
        return Stated(answer=numbers[-1], form=AnswerForm.LAST_NUMBER)
    return Stated(why_not=NOTHING_STATED)


def is_bare(text: str) -> bool:
    """Whether a text is a few words on one line, a grid with as many items in each row, or in brackets."""
    if text[0] + text[-1] in ("[]", "{}"):
        return True
    if _SAYS.search(text) or not is_short(text) or (text[-1] in ".:;,!" and not re.search("[0-9]", text)):
        return False
    return is_grid(text) or ("\n" not in text and len(text.split()) <= _MOST_ITEMS)


def _first_after_going_back(text: str, found: Sequence[Statement]) -> int:
    """Position of the first statement behind the last place where the text goes back between two of them."""
    for number in range(len(found) - 1, 0, -1):
        between = text[found[number - 1].span[1] : found[number].at[0]]
        if _goes_back(between) and not _ADDS.match(between):
            return number
    return 0


def _goes_back(text: str) -> bool:
    if not text.strip():
        return False
    if _REVISES.search(text):
        return True
    steps = mark([Step(text, StepKind.FORWARD, (0, len(text)))], find_blocks(text))
    return any(step.kind is StepKind.MARKER for step in steps)


def _spoiled_by(rest: str, last: Statement) -> str:
    """The reason why an answer does not stand with the text that follows it; empty if it does."""
    if not rest.strip():
        return ""
    if _ADDS.match(rest):
        return GOES_ON
    if _DENIES.search(rest) or _goes_back(rest):
        return GOES_BACK
    if last.form is AnswerForm.BOX:
        return ""
    numbers = _NUMBER.findall(rest)
    return GOES_ON if numbers and _plain(numbers[-1]) not in map(_plain, _NUMBER.findall(last.answer)) else ""


def _at_the_end(text: str, found: Sequence[Statement]) -> tuple[Span, ...]:
    """Spans of the statements that no word separates from the last one; a box only with rows, or alone."""
    spans: list[Span] = []
    start = found[-1].span[0]
    for one in reversed(found):
        if re.search("[0-9A-Za-z]", text[one.span[1] : start]):
            break
        start = one.span[0]
        if "=" in one.answer and one.form is not AnswerForm.CLOSING_LINE:
            continue  # an equation in it is a step
        is_box = text.startswith("\\boxed", one.span[0]) and one.span[1] == one.at[1] + 1
        span = _alone(text, one.span) if is_box and "\n" not in one.answer else one.span
        if span is not None:
            after = _BLANKS.match(text, span[1])
            end = min(after.end() if after else span[1], spans[-1][0] if spans else len(text))
            spans += [(span[0], end)] if span[0] < end else []
    return tuple(reversed(spans))


def _alone(text: str, span: Span) -> Span | None:
    """The span of a box with the marks around it, if nothing else stands on its lines."""
    start, end = span
    while start > 0 and span[0] - start < _MOST_MARKS and text[start - 1] in _MARKS and text[start - 1] != ".":
        start -= 1
    while end < len(text) and end - span[1] < _MOST_MARKS and text[end] in _MARKS:
        end += 1
    before, after = text[start : span[0]], text[span[1] : end]
    if (start > 0 and "\n" not in before) or (end < len(text) and "\n" not in after):
        return None
    return start, end


def _agree(one: Statement, last: Statement, same: Callable[[str, str], bool]) -> bool:
    """Whether an earlier statement agrees with the last one; prose after a phrase states no answer."""
    if one.form in (AnswerForm.SENTENCE, AnswerForm.LABEL) and not is_short(one.answer):
        return True
    return _core(one.answer) == _core(last.answer) or same(one.answer, last.answer)


def _best(found: Sequence[Statement]) -> Statement:
    """Of statements that agree, the one that is likeliest to be an answer and nothing else."""
    if found[-1].form is AnswerForm.CLOSING_LINE:
        return found[-1]
    short = [one for one in found if is_short(one.answer)] or found[-1:]
    return min(reversed(short), key=lambda one: _BEST.index(one.form))


def _core(answer: str) -> str:
    """The number that an answer holds, if there is nothing else but units; or else its letters and signs."""
    right = answer.rpartition("=")[2]
    numbers = _NUMBER.findall(right)
    if len(numbers) == 1 and not _UNITS.sub("", right.replace(numbers[0], "", 1)):
        return _plain(numbers[0])
    return _KEPT.sub("", clean(answer).casefold())


def _plain(number: str) -> str:
    """A number without thousands separators and trailing zeros."""
    number = number.replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number
