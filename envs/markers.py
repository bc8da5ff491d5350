r"""Backtracks in free text: sentences that announce going back.

In: the steps of a completion in ordinary language. Out: the same steps, split before each sentence that starts
with a marker ("Wait", "On second thought", "Let me try another", "That's wrong"); that sentence becomes a step
of kind `MARKER`. A marker shows what the text claims, not what it does. No state is known, so none is restored,
and the step counts as neither real nor fake.

Only announcements of going back count. A sentence that starts like one and then confirms ("Wait, that's
correct.", "No, that seems right.") or only checks ("Hold on, let me verify.", "Let me check: yes.") is no
marker, unless it turns in the end ("Wait, that's right, but I forgot one.", "Let me check: no, it is 5."). Nor
are words of hesitation alone ("Hmm"), and formulas and code hold none.

Source: "Cognitive Behaviors that Enable Self-Improving Reasoners" (arXiv 2503.01307) separates backtracking,
which abandons an approach, from verification, which checks a result. Difference: a language model finds them
there. Words are counted here, as in "Thoughts Are All Over the Place" (arXiv 2501.18585: "alternatively") and
NoWait (arXiv 2506.08343), whose list also has words of checking and hesitation ("check", "verify", "hmm").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from envs.segments import Span, inside, split
from envs.trace import Step, StepKind

_PHRASES = (
    "wait",
    "hold on",
    "actually",
    "alternatively",
    "on second thought",
    "scratch that",
    "oops",
    "my mistake",
    "going back",
    "back to",
    "i made a mistake",
    "i made an error",
    "i was wrong",
    "i miscalculated",
    "i misread",
    "hmm, no",
    "no, wait",
)
_WHO = "let me|let['’]s|let us|i should|i need to|i have to|i['’]ll|i will|we should|we need to|we have to"
_GO_BACK = (
    "go back|backtrack|start over|start again|start from scratch|try again|try another|try a different|"
    "try something else|redo|reconsider|rethink|think again|revise|recompute|recalculate|correct that|fix that"
)
_FAILS = (
    "(?:['’]s| is| was) (?:wrong|incorrect|not right|not correct|not it|a mistake|an error)|"
    " (?:isn['’]t|wasn['’]t) (?:right|correct|it)|"
    " (?:does not|doesn['’]t|did not|didn['’]t|will not|won['’]t|can['’]?t|cannot|can not) "
    "(?:work|fit|add up|make sense|(?:be|look|seem) (?:right|correct))"
)
_CHECK = (
    rf"(?:{_WHO}|i want to)(?: just| quickly| also)? "
    "(?:(?:double|re)[- ]?check|check|verify|confirm|make sure|see|look|think(?! again))"
)
# A sentence starts with a line, where a bullet may come first, or after another sentence.
_START = r"""(?:^[-*+>#_ \t"'(]{0,12}|(?<=[.!?…] )|(?<=[.!?…]["')*_] ))["'(*_]{0,3}"""
_LEAD = r"(?:(?:but|so|oh|ah|no|hm+|well|okay|ok|and|um|uh|yes|yeah)[,.…]{0,3} ){0,2}"
_OPENS = re.compile(
    rf"{_START}{_LEAD}(?:(?:{'|'.join(map(re.escape, _PHRASES))}|(?:{_WHO})(?: just)? (?:{_GO_BACK})|"
    rf"(?:that|this)(?: approach)?(?:{_FAILS}))(?![A-Za-z])"
    rf"|(?=no, th(?:at|is)(?![A-Za-z]))|(?={_CHECK}(?![A-Za-z])))",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)
_SURELY = (
    "(?: (?:indeed|actually|still|also|all|quite|just|probably|exactly|definitely|already|really|both|to be))*+"
)
_WHAT = "(?:that|this|it|they|everything|(?:the|my|our) [a-z]+)"
_CONFIRMS = re.compile(
    rf"[ ,.;:!?…—–-]*+(?:(?:but|so|no|and|well|just)[, ]++)*+(?:"
    r"(?:yes|yeah|yep|ok|okay|right|correct|indeed|good|great|fine|perfect|never ?mind)"
    rf"|{_WHAT}(?:['’]s|['’]re| is| are| was| were| seems?| looks?| sounds?| appears?){_SURELY}"
    r" (?:right|correct|fine|good|ok|okay|true|consistent|valid|it|as expected|reasonable|plausible)"
    rf"|{_WHAT}{_SURELY} (?:works?(?: out)?|does work|checks out|adds? up|holds?(?: up)?|fits?|match(?:es)?"
    r"|makes? sense)"
    rf"|(?:is|are|was) {_WHAT}{_SURELY} (?:right|correct|true|ok|okay|it)\?"
    rf"|{_CHECK})(?![A-Za-z-])",
    re.IGNORECASE | re.ASCII,
)
_TURNS = re.compile(
    r"(?<![A-Za-z])(?:but|however|except|although|though)(?![A-Za-z])|(?<![A-Za-z])no[,.;:]", re.IGNORECASE
)
_END = re.compile(r"""[.!?…]["')*_]?(?=[ \t\r\n]|$)|\n|$""")


def mark(steps: Iterable[Step], blocks: Sequence[Span] = ()) -> tuple[Step, ...]:
    """Split steps before each sentence that announces going back; takes time linear in the text.

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
        opens = _OPENS.finditer(step.text)
        cuts = {match.start() for match in opens if _goes_back(step, match, blocks)}
        for part in split(step, cuts):
            is_marker = part.span[0] - step.span[0] in cuts
            found.append(part._replace(kind=StepKind.MARKER) if is_marker else part)
    return tuple(found)


def _goes_back(step: Step, match: re.Match[str], blocks: Sequence[Span]) -> bool:
    if inside(blocks, step.span[0] + match.start()):
        return False
    confirms = _CONFIRMS.match(step.text, match.end())
    if confirms is None:
        return True
    end = _END.search(step.text, confirms.end())
    return bool(_TURNS.search(step.text, confirms.end(), end.end() if end else len(step.text)))
