r"""Backtracks in free text: where a text announces that it goes back.

In: a text in ordinary language. Out: its markers, the openings of sentences that abandon or correct what stands
before ("Wait, that's per hour.", "On second thought", "Let me redo this", "That can't be right", "I misread the
table"). A marker shows what the text claims, not what it does: no state is known, so none is restored, and the
step that it opens counts as neither real nor fake.

Layout is no part of it: bullets, list numbers, headings, quotes, bold type, spaces and line breaks before an
opening, and words of hesitation ("Okay, so", "Hmm..."), change nothing. Words that have an ordinary meaning too
need a comma, a full stop or a clause behind them: "Wait, 5 are missing" and "Wait the problem says" are
markers, "Wait 5 minutes for the bus" and "Back to school sales" are not; "That doesn't fit." is one, "That
doesn't fit in the box" is not.

Only announcements of going back count. A sentence that starts like one and then confirms ("Wait, that's
correct.", "No, that seems right.") or only checks ("Hold on, let me verify.", "Let me check: yes.") is no
marker, unless it turns in the end ("Wait, that's right, but I forgot one.", "Let me check: no, it is 5."). Nor
are words of hesitation alone ("Hmm"), and a "No" that answers a question.

Source: "Cognitive Behaviors that Enable Self-Improving Reasoners" (arXiv 2503.01307) separates backtracking,
which abandons an approach, from verification, which checks a result. Difference: a language model finds them
there. Words are counted here, as in "Thoughts Are All Over the Place" (arXiv 2501.18585: "alternatively") and
NoWait (arXiv 2506.08343), whose list also has words of checking and hesitation ("check", "verify", "hmm").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from envs.marker_words import CONFIRMS, OPENING, PLAIN
from envs.spans import Span, inside, split
from envs.trace import Step, StepKind

_BUT = re.compile(
    r"(?<![A-Za-z])(?:but|however|except|although|though)(?![A-Za-z])|(?<![A-Za-z])no[,.;:]", re.IGNORECASE
)
_END = re.compile(r"""[.!?…]["')*_]?(?=[ \t\r\n]|$)|\n|$""")
_MAX_SENTENCE = 400  # characters in which a confirmation may turn
_LOOK_BACK = 16
_QUOTES = " \n\"'*_)"


def mark(steps: Iterable[Step], blocks: Sequence[Span] = ()) -> tuple[Step, ...]:
    """Split steps before each of their markers; takes time linear in the text.

    Args:
        steps: The steps.
        blocks: Spans of formulas and code, in which no sentence starts.

    Example: "So x = 3. Wait, that is 2x." becomes the step "So x = 3." and the marker "Wait, that is 2x."
    """
    found: list[Step] = []
    for step in steps:
        if step.kind is not StepKind.FORWARD:
            found.append(step)
            continue
        cuts = {at for at in find_markers(step.text) if not inside(blocks, step.span[0] + at)}
        for part in split(step, cuts):
            is_marker = part.span[0] - step.span[0] in cuts
            found.append(part._replace(kind=StepKind.MARKER) if is_marker else part)
    return tuple(found)


def find_markers(text: str) -> list[int]:
    """Offsets at which a sentence starts that announces going back; takes time linear in the text.

    Bullets and quotes before a sentence at the start of a line belong to it.

    Example: "So x = 3. Wait, that is 2x." has one, at 10.
    """
    plain = text.translate(PLAIN)
    return [_start(plain, match) for match in OPENING.finditer(plain) if _goes_back(plain, match)]


def _start(text: str, match: re.Match[str]) -> int:
    """Where the sentence starts: with its bullet, or with its opening bracket, quote or bold type."""
    first, start = match.start(), match.start("opening")
    if first == 0 or text[first - 1] == "\n":
        return first + len(text[first:start]) - len(text[first:start].lstrip())
    while start > first and text[start - 1] not in " .!?…":
        start -= 1
    return start


def _goes_back(text: str, match: re.Match[str]) -> bool:
    if match["unsure"] is None:
        return True
    before = text[max(0, match.start() - _LOOK_BACK) : match.start("opening")].rstrip(_QUOTES)
    if match["no"] is not None and before.endswith("?"):
        return False  # the answer to a question
    confirms = CONFIRMS.match(text, match.end())
    if confirms is None:
        return True
    last = confirms.end() + _MAX_SENTENCE
    end = _END.search(text, confirms.end(), last)
    return bool(_BUT.search(text, confirms.end(), end.end() if end else last))
