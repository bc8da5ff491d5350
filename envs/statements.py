r"""Where a text in ordinary language states an answer.

In: a text and the forms that are looked for. Out: `Statement`s in order, each with the answer as written::

    Therefore, the answer is **72**.     sentence
    **Final Answer:** $72                label; also a heading with the answer below it, and a last line `A: 72`
    #### 72                              hashes: the last line, or any line with nothing but a number
    <answer>72</answer>                  tags
    ... which is $\boxed{72}$.           box

A sentence states an answer if it begins like one ("So", "Therefore, we get that", ", so"): "if the answer is 5"
and "I doubt that the answer is 5" do not, nor does "the answer is not 5", nor a question. Where a statement
stands in another one's answer, as a box in a sentence, the inner one holds. Nothing raises, and reading takes
time linear in the text: repetition in the patterns is bounded, and so is the length of an answer that is looked
for (`MAX_CHARS`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import NamedTuple

from envs.segments import Span
from envs.trace import AnswerForm

MAX_CHARS = 2000  # of an answer
MAX_BOXES = 8
_MAX_STATEMENTS = 32  # the last ones of a text
OPEN, CLOSE = "<answer>", "</answer>"

_LEADS = (
    r"so|thus|therefore|hence|then|now|and|finally|consequently|accordingly|ultimately|overall|again"
    r"|in (?:conclusion|summary|short|total|the end|other words)|to (?:conclude|sum(?:marize| up))|as a result"
    r"|for this reason|(?:this|that|it|which) (?:means|shows|gives|implies|tells us|gives us)|meaning|making"
    r"|it follows|(?:we|i)(?: can| now| have| then| therefore){0,2} (?:get|find|found|see|know|conclude|say)"
    r"|(?:based on|given|from|with) (?:this|that|these|the above)(?: [a-z]+)?"
    r"|wait|no|actually|oh|sorry|correction|hmm"
)
_KIND = "final|correct|right|exact|numerical|numeric|overall|required|desired|complete|simplified|total"
_TO = r" (?:to|for) (?:the|this|your|our)(?: [a-z]{1,12})? (?:question|problem|puzzle|equation|exercise)"
_IS = r"(?:is|are|was|will be|would be|equals|becomes|comes (?:out )?to)(?![A-Za-z'’])"
_NOT = r"(?![ *_:]{0,4}(?:not|never|neither|nor|no longer|none of)\b)"
# A sentence begins a line, after decoration, follows another one, or begins with a word of consequence.
_START = (
    r"""(?:^[ \t>#*_+"'(-]{0,12}|(?<=[.!?:;…]) {1,2}[*_"'(]{0,3}|(?<=[.!?:;…]["')*_$\]]) {1,2}[*_"'(]{0,3}"""
    r"|(?<=[.!?:;…]\*\*) {1,2}[*_]{0,3}|(?<=<answer>)[*_ ]{0,4}"
    r"|(?<=[ ,—–-])(?=(?:so|thus|therefore|hence|which means|meaning|making)\b))"
)
_ANSWER = re.compile(
    rf"{_START}(?:(?:{_LEADS})[,:]?(?: that)?[,:]? {{1,2}}){{0,4}}+"
    rf"[*_]{{0,3}}(?:(?:the|our|my|your) {{1,2}})?[*_]{{0,3}}(?:(?:{_KIND}) ){{0,2}}+"
    rf"(?:answers?(?:\(s\))?|ans\.?(?=[ ]?[:=]))(?:{_TO})?[*_]{{0,3}}"
    rf"(?:(?P<verb>,?(?: (?:therefore|then|thus|hence|indeed|simply))?,? {{1,2}}{_IS}{_NOT}"
    rf"(?: (?:therefore|thus|simply|just|equal to|given by))?[ \t]*+[:=]?)"
    rf"|[ \t]*+[:=：]{_NOT}|(?=[*_ \t\r]*+$|[*_ \t]{{0,6}}(?:\$|\\\(|\\\[)? ?\\boxed))",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!?…]+(?=[\"')*_\]$]{0,4}(?:[ \t\r\n]|$))")
_DISPLAY = {"$$": "$$", "\\[": "\\]"}
_HASHES = re.compile(r"^[ \t*]{0,4}#{4}[ \t]*+([^ \t\r\n][^\n]*)$", re.MULTILINE)
_A_LINE = re.compile(r"^[*_]{0,3}A[*_]{0,3}:[*_]{0,3}[ \t]*([^ \t\r\n][^\n]*)$")
_NUMBER_ALONE = re.compile(r"[-+−$\\(]{0,4}[0-9][0-9,./]{0,40}[%)$]{0,3}")
_CALCULATION = re.compile(r"<<[^<>\n]{0,200}>>")
_EMPTY_BOX = re.compile(r"\\boxed ?\{[ \t\r\n]{0,9}\}")
_TAG = re.compile(f"{OPEN}|{CLOSE}")
_DECORATION = " \t\r*_`"
_BLANKS = " \t\r\n"
_SPACES = str.maketrans("\t\r\n", "   ")


class Statement(NamedTuple):
    """An answer as a text states it.

    Attributes:
        form: How it is stated.
        answer: The answer, as it is written, without decoration; it may have several lines.
        span: Start and end offset of all that states it: the sentence, the label with its answer, the tags.
        at: Start and end offset of the answer.
    """

    form: AnswerForm
    answer: str
    span: Span
    at: Span


class UnpairedTags(ValueError):
    """An opening tag without its closing one, or the other way round."""


def find_statements(text: str, forms: Collection[AnswerForm]) -> list[Statement]:
    """The statements of a text in order, the inner ones where one stands in another's answer.

    Args:
        text: Any text.
        forms: The forms that count; others are ordinary text.

    Raises:
        UnpairedTags: Tags count, and some have no partner.
    """
    found: list[Statement] = []
    if not {AnswerForm.SENTENCE, AnswerForm.LABEL}.isdisjoint(forms):
        found += [one for one in _sentences(text) if one.form in forms]
    if AnswerForm.HASHES in forms:
        found += _hashes(text)
    if AnswerForm.TAGS in forms:
        found += _tags(text)
    if AnswerForm.BOX in forms:
        found += _boxes(text)
    stated = [one for one in found if not _EMPTY_BOX.search(one.answer)]  # the form of the request, repeated
    return _inner(text, sorted(stated, key=lambda one: (one.at[0], -one.at[1]))[-_MAX_STATEMENTS:])


def find_answer(text: str) -> str | None:
    r"""The content of the last balanced ``\boxed{}`` of a text, with spaces collapsed.

    None if there is no such box. A box over `MAX_CHARS` characters counts as unbalanced, and only the last
    `MAX_BOXES` boxes are tried. Takes time linear in the text.

    Example: `find_answer("so \\boxed{1} or \\boxed{\\frac{1}{2}}")` is "\\frac{1}{2}".
    """
    return next((collapse(box.answer) for box in last_boxes(text)), None)


def last_boxes(text: str) -> Iterator[Statement]:
    r"""The last balanced boxes of a text, the last one first, at most `MAX_BOXES` that open."""
    end = len(text)
    for _ in range(MAX_BOXES):
        end = text.rfind("\\boxed", 0, end)
        if end < 0:
            return
        start = end + len("\\boxed")
        window = text[start : start + MAX_CHARS + 2]
        opened = len(window) - len(window.lstrip(" "))
        depth = 0
        for at in range(opened, len(window) if window[opened : opened + 1] == "{" else 0):
            depth += (window[at] == "{") - (window[at] == "}")
            if depth == 0:
                inside = (start + opened + 1, start + at)
                yield Statement(
                    AnswerForm.BOX, text[slice(*inside)].strip(_BLANKS), (end, inside[1] + 1), inside
                )
                break


def collapse(text: str) -> str:
    """The text on one line, with one space between its words; other kinds of space stay, to be refused."""
    return " ".join(part for part in text.translate(_SPACES).split(" ") if part)


def is_short(answer: str) -> bool:
    """Whether a text has at most four words besides numbers and LaTeX commands, so that it is no prose."""
    words = re.finditer(r"(?<![A-Za-z\\])[A-Za-z]{2,}", answer)
    return sum(1 for _, _ in zip(words, range(5), strict=False)) < 5


def is_grid(text: str) -> bool:
    """Whether all lines have as many items, and more than one."""
    widths = {len(line.split()) for line in text.split("\n")}
    return len(widths) == 1 and widths != {1}


def _sentences(text: str) -> Iterator[Statement]:
    """Sentences and labels, and `A: 72` as the last line."""
    last = len(text.rstrip())
    for match in deque(_ANSWER.finditer(text), maxlen=_MAX_STATEMENTS):
        form = AnswerForm.SENTENCE if match["verb"] else AnswerForm.LABEL
        at = _answer_at(text, match.end(), form, last)
        if at is not None:
            start, end, stop = at
            yield Statement(form, clean(text[start:end]), (match.start(), stop), (start, end))
    line_start = text.rfind("\n", 0, last) + 1
    if a_line := _A_LINE.match(text[line_start : min(last, line_start + MAX_CHARS)]):
        start, end = line_start + a_line.start(1), line_start + a_line.end(1)
        yield Statement(AnswerForm.LABEL, clean(a_line[1]), (line_start, end), (start, end))


def _answer_at(text: str, start: int, form: AnswerForm, last: int) -> tuple[int, int, int] | None:
    """Start and end of the answer after a phrase, and the end of the statement; None if there is none."""
    limit = min(start + MAX_CHARS, len(text))
    end = min(
        place if place >= 0 else limit for place in (text.find(one, start, limit) for one in ("\n", CLOSE))
    )
    if text[start:end].strip(_DECORATION + ":") == "":
        return _answer_below(text, end, form, last)
    start += len(text[start:end]) - len(text[start:end].lstrip(" \t:"))
    if (opening := text[start : start + 2]) in _DISPLAY:
        closing = text.find(_DISPLAY[opening], start + 2, limit)
        return None if closing < 0 else (start + 2, closing, closing + 2)
    stop = _SENTENCE_END.search(text, start, end)
    if stop is None:
        return start, end, end
    if "?" in stop[0]:
        return None
    ends = stop.start() if stop[0] == "!" else stop.end()
    closes = stop.end()
    while closes < end and text[closes] in "\"')*_]$":
        closes += 1
    return start, closes if ends == stop.end() else ends, closes


def _answer_below(text: str, start: int, form: AnswerForm, last: int) -> tuple[int, int, int] | None:
    """The paragraph below a phrase that ends its line, if it is an answer and no prose, or ends the text."""
    window = text[start : start + MAX_CHARS]
    first = len(window) - len(window.lstrip())
    end = window.find("\n\n", first)
    end = len(window.rstrip()) if end < 0 else end
    paragraph = window[first:end]
    rows = paragraph[:2] in _DISPLAY or is_grid(paragraph) or not re.search("[A-Za-z]{2}", paragraph)
    if form is AnswerForm.SENTENCE and not rows:
        end = first + len(paragraph.partition("\n")[0])
        paragraph = window[first:end]
    if not paragraph or not (start + end >= last or is_short(paragraph)):
        return None
    if (opening := paragraph[:2]) in _DISPLAY and len(paragraph) > 4 and paragraph.endswith(_DISPLAY[opening]):
        return start + first + 2, start + end - 2, start + end
    return start + first, start + end, start + end


def clean(answer: str) -> str:
    """An answer without bold, italics, code and math marks around it, a final full stop, and GSM8K's notes."""
    text = _CALCULATION.sub("", answer).strip(" \t\r\n`")
    if "\n" in text:  # rows may hold any mark
        return text.removesuffix(".")
    if text[:2] in ("**", "__"):
        text = text.replace(text[:2], "")
    text = text.strip(_DECORATION + "\n")
    text = text.removesuffix(".").rstrip(_DECORATION + "\n")
    for opening, closing in (("$", "$"), ("\\(", "\\)")):
        inside = text[len(opening) : -len(closing)]
        if text == f"{opening}{inside}{closing}" and inside.strip() and opening not in inside:
            text = inside.strip().removesuffix(".")
    return text


def _hashes(text: str) -> Iterator[Statement]:
    last = len(text.rstrip())
    for match in deque(_HASHES.finditer(text), maxlen=_MAX_STATEMENTS):
        if match.end() >= last or _NUMBER_ALONE.fullmatch(match[1].strip()):
            yield Statement(AnswerForm.HASHES, clean(match[1][:MAX_CHARS]), match.span(), match.span(1))


def _tags(text: str) -> Iterator[Statement]:
    pairs: deque[tuple[Span, Span]] = deque(maxlen=_MAX_STATEMENTS)
    opened: Span | None = None
    for tag in _TAG.finditer(text):
        if (tag[0] == OPEN) is (opened is not None):
            raise UnpairedTags("answer tags are not in pairs")
        if opened is None:
            opened = tag.span()
        else:
            pairs.append((opened, tag.span()))
            opened = None
    if opened is not None:
        raise UnpairedTags("answer tags are not in pairs")
    for (start, inside), (end, stop) in pairs:
        yield Statement(AnswerForm.TAGS, text[inside:end].strip(), (start, stop), (inside, end))


def _boxes(text: str) -> list[Statement]:
    """The last box, and those before it on its line, or with no word between."""
    found = [box for box in last_boxes(text) if box.answer]
    kept = found[:1]
    for later, box in pairwise(found):
        between = text[box.span[1] : later.span[0]]
        if box.span[1] > later.span[0] or ("\n" in between and re.search("[A-Za-z0-9]", between)):
            break
        kept.append(box)
    return kept


def _inner(text: str, found: list[Statement]) -> list[Statement]:
    """Leave out each statement in whose answer another one stands; the inner one takes over its span."""
    kept: list[Statement] = []
    for one in found:
        while kept and kept[-1].at[0] <= one.at[0] < kept[-1].at[1]:
            outer = kept.pop()
            around = outer.answer.replace(one.answer, "", 1)
            first = clean(text[outer.at[0] : one.span[0]]).rstrip(" ,;:")
            if AnswerForm.BOX not in (one.form, outer.form) and re.fullmatch(r"[-$]{0,2}[0-9][0-9.,/]*", first):
                kept.append(outer._replace(answer=first, at=(outer.at[0], one.span[0])))  # "5; the answer is 6"
                break
            if is_short(around) and not re.search("[0-9]", around):
                one = one._replace(span=(min(outer.span[0], one.span[0]), max(outer.span[1], one.span[1])))
        kept.append(one)
    return kept
