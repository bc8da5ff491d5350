r"""What a free text claims: its steps by content, whatever its layout.

In: a text in ordinary language. Out: the places at which it is cut into claims, one step each. A claim is

- a relation: every ``=``, ``≈``, ``≤``, ``\equiv`` and the like, so that a chain ``a = b = c`` makes two;
- in a sentence without one, the sentence, if it states something: not the answer, and not a question, a plan
  ("Let's find the total.") or a heading ("Step 1.") unless a number stands in it.

What claims nothing belongs to the next claim, but every `WORDS` words make one, so that neither an endless
sentence nor an endless plan is a single step. A text that claims nothing has no step. A sentence that goes back
(`markers.py`) always begins one.

Line breaks count as spaces, and bullets, headings, bold type, table rules and code fences as nothing. So layout
changes nothing: a solution on one line has as many steps as the same solution in a list. What does change the
number is the wording, such as several results without ``=`` in one sentence. Claims are counted, not proved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

WORDS = 40
"""Number of words that make a claim, whatever they say."""
_MIN_WORDS = 3  # a shorter sentence without a relation is part of the next
_MAX_ANSWER = 16  # words of a sentence that only states the answer

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff"
_LETTER = rf"A-Za-z0-9\xc0-\xd6\xd8-\xf6\xf8-\u1fff\u2c00-\u2dff\uf900-\ufdff{_CJK}"  # no bullets, no arrows
_SPACE = r" \t\r\n"
_WORD = re.compile(rf"[{_CJK}]|(?<![^{_SPACE}])[^{_SPACE}{_LETTER}]*+(?![{_CJK}])[{_LETTER}]")
_RELATION = re.compile(
    r"(?<![=<>])[<>!:~]?={1,2}(?![=>])|[≈≠≤≥≡≅≃∼≐≲≳]"
    r"|\\(?:approx|neq?|leq?|leqslant|geq?|geqslant|equiv|cong|simeq|doteq|lt|gt)(?![A-Za-z])"
    r"|<|(?<!\n)>"
)
_MARKS = " \t\n*`$|\\"
_OPERAND_BEFORE = re.compile(r"(?:[0-9)}\]]|(?<![A-Za-z])[A-Za-z])$")
_OPERAND_AFTER = re.compile(r"[-(\\{√0-9]|[A-Za-z](?![A-Za-z>])")
_NEAR = 16  # characters beside a sign
# Claim nothing: calculator annotations of GSM8K, bounds of sums, fences, labels, headings with no number.
_ASIDE = re.compile(
    r"<<[^<>\n]{0,200}>>|\\(?:sum|prod|bigcup|bigcap|int|lim|max|min)(?:\\limits)? ?_ ?\{[^{}]{0,80}\}"
    r"|(?:```|~~~)[`~]*+[A-Za-z0-9+-]{0,16}"
    r"|#{1,6} *+(?:step|case|part)(?![A-Za-z])(?: [0-9]{1,3}(?![0-9]))?[.:]?"
    r"|^[ \t>*+|_-]{0,16}#{1,6} [^\n=0-9]*+$",
    re.IGNORECASE | re.MULTILINE,
)
_BOX = re.compile(r"(?<=\\boxed)\{[^{}]{0,200}+(?:\{[^{}]{0,200}+\}[^{}]{0,200}+){0,8}\}")
_END = re.compile(rf"[.!?…]++[^{_SPACE}{_LETTER}]{{0,8}}+(?:[{_SPACE}]++|$)|[。！？][{_SPACE}]*+")
_AFTER = re.compile(rf"[^{_LETTER}]{{0,64}}+([{_LETTER}])")
_ABBREVIATION = re.compile(
    r"(?<![A-Za-z])(?:e\.?g|i\.?e|cf|vs|approx|Mr|Mrs|Ms|Dr|St|No|Eqs?|Fig|Prof|resp)\.$"
)
_UNIT = re.compile(
    r"(?<![A-Za-z])(?:oz|lbs?|ft|in|yd|mi|hrs?|min|secs?|gal|pt|qt|cm|mm|km|kg|etc|a\.m|p\.m)\.$"
)
_MAX_ABBREVIATION = 8  # characters

_NUMBER = re.compile(
    r"[0-9]|(?<![A-Za-z])(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]{3,5}teen|twenty|"
    r"thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|half|twice|double|zero)(?![A-Za-z])",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(rf"[^{_LETTER}]{{0,16}}[0-9]{{1,3}}[.)][{_SPACE}]")
_LABEL = re.compile(
    rf"(?<![A-Za-z])(?:step|case|part|question|problem|method|option|equation) [0-9]{{1,3}}(?![0-9])"
    rf"|^[^{_LETTER}]{{0,16}}[0-9]{{1,3}}[.)]",
    re.IGNORECASE,
)
_WORK = (
    "find|figure|solve|calculate|compute|determine|identify|work|know|check|verify|understand|start|begin|see|use|"
    "add|subtract|multiply|divide|set|consider|think|do|get|answer|break|look|follow|convert|express|go|try|"
    "simplify|write"
)
_PLAN = re.compile(
    rf"(?:[^{_LETTER}]|(?:first|firstly|second|next|then|now|so|okay|ok|alright|well|finally|and|but|hm+|also|"
    "step|solution)(?![A-Za-z]))*+(?:let['’]?s|let us|let me|"
    "(?:(?:(?:i|we)(?:['’]ll)? (?:will |can )?(?:need|want|have|should|must|will|can)|in order|i['’]?ll|"
    "we['’]?ll)"
    rf"(?: now| first| then)? )?(?:to )?(?:{_WORK}))(?![A-Za-z])",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"(?<![A-Za-z])(?:final answer|answer[^A-Za-z0-9]{0,8}(?:is|are)|answer[^A-Za-z0-9]{0,4}:)(?![A-Za-z])"
    r"|####|\\boxed(?![A-Za-z])",
    re.IGNORECASE,
)
_BREAK = re.compile(rf"(?:\n|\\\\)[{_SPACE}]*+")
_CLAUSE = re.compile(
    rf"(?:[,;]|\\implies|\\Rightarrow|\\quad|[⇒→])[{_SPACE}]++|(?<![A-Za-z])(?:and|so|then|giving|which) "
)


class Cut(NamedTuple):
    """The start of a step.

    Attributes:
        start: Offset in the text.
        goes_back: Whether the step announces going back.
    """

    start: int
    goes_back: bool


class _Sentence(NamedTuple):
    """Offsets of a sentence with the space behind it, and of the relations and words in it."""

    start: int
    end: int
    relations: list[int]
    words: list[int]
    is_question: bool


def cut_claims(text: str, markers: Sequence[int] = ()) -> list[Cut]:
    """Where the steps of a text start; takes time linear in the text.

    Args:
        text: The text.
        markers: Offsets at which sentences start that go back (`find_markers`), in order.

    Returns:
        The cuts in order, the first of them at 0; none if nothing is claimed.

    Example: "Let's add. 5 + 3 = 8, so 8 * 2 = 16." is cut at 0 and 25.
    """
    bare = _ASIDE.sub(lambda aside: " " * len(aside[0]), text)
    answer = max(bare.rfind(r"\boxed{"), 0)  # what the last box holds is the answer, and no step
    bare = bare[:answer] + _BOX.sub(lambda box: " " * len(box[0]), bare[answer:], count=1)
    going_back = set(markers)
    cuts: list[Cut] = []
    start, words = 0, list[int]()  # of the text that no claim has taken up yet
    for sentence in _sentences(bare, markers):
        goes_back = sentence.start in going_back
        if goes_back and cuts:
            start, words = sentence.start, []
        words += sentence.words
        states = goes_back or _states(bare, sentence)
        num_long = len(words) // WORDS
        if num_long > len(sentence.relations):
            inner = words[WORDS : num_long * WORDS : WORDS]
        else:
            inner = _between(bare, sentence.relations)
        if states or num_long:
            cuts.append(Cut(start, goes_back))
            cuts += [Cut(at, goes_back=False) for at in inner]
            start, words = sentence.end, []
    return cuts


def _sentences(text: str, markers: Sequence[int]) -> Iterator[_Sentence]:
    """Sentences in order; one of a few words is part of the next, unless that goes back."""
    ends = {end.end(): "?" in end[0] or "？" in end[0] for end in _END.finditer(text) if _ends(text, end)}
    relations = [
        sign.start() for sign in _RELATION.finditer(text) if sign[0] not in "<>" or _compares(text, sign)
    ]
    words = [word.end() - 1 for word in _WORD.finditer(text)]
    at_relation = at_word = start = 0
    starts = set(markers)
    for end in sorted({*ends, *markers, len(text)} - {0}):
        next_relation, next_word = at_relation, at_word
        while next_relation < len(relations) and relations[next_relation] < end:
            next_relation += 1
        while next_word < len(words) and words[next_word] < end:
            next_word += 1
        found = relations[at_relation:next_relation], words[at_word:next_word]
        short = not found[0] and len(found[1]) - bool(_LIST_NUMBER.match(text, start)) < _MIN_WORDS
        if short and not {start, end} & starts and end < len(text):
            continue
        yield _Sentence(start, end, *found, is_question=ends.get(end, False))
        at_relation, at_word, start = next_relation, next_word, end


def _compares(text: str, sign: re.Match[str]) -> bool:
    """Whether ``<`` or ``>`` stands between numbers or single letters: not a tag, an arrow or a quotation."""
    before = text[max(0, sign.start() - _NEAR) : sign.start()].rstrip(_MARKS)
    after = text[sign.end() : sign.end() + _NEAR].lstrip(_MARKS)
    return bool(_OPERAND_BEFORE.search(before) and _OPERAND_AFTER.match(after))


def _ends(text: str, end: re.Match[str]) -> bool:
    before = text[max(0, end.start() - _MAX_ABBREVIATION) : end.start() + 1]
    after = _AFTER.match(text, end.end())
    if "..." in end[0] or "…" in end[0]:
        return after is None or after[1].isupper()
    if _ABBREVIATION.search(before):
        return False
    return after is None or not (after[1].islower() and _UNIT.search(before))


def _states(text: str, sentence: _Sentence) -> bool:
    if sentence.relations:
        return True
    if len(sentence.words) - bool(_LIST_NUMBER.match(text, sentence.start)) < _MIN_WORDS:
        return False
    said = text[sentence.start : sentence.end]
    if len(sentence.words) <= _MAX_ANSWER and _ANSWER.search(said):
        return False
    if sentence.is_question or _PLAN.match(said):
        return _NUMBER.search(_LABEL.sub("", said)) is not None
    return True


def _between(text: str, relations: Sequence[int]) -> list[int]:
    """A cut between each two relations: at a line break, else where a clause starts, else before the second."""
    cuts = []
    for first, second in pairwise(relations):
        for separator in (_BREAK, _CLAUSE):
            found = [match.end() for match in separator.finditer(text, first + 1, second)]
            if found:
                cuts.append(found[-1])
                break
        else:
            cuts.append(second)
    return cuts
