"""The words with which a text goes back, and those with which it only checks or confirms, for `markers.py`.

They are looked for in a text in which `PLAIN` has replaced characters. All runs are bounded or possessive, so
the time is linear.
"""

from __future__ import annotations

import re


def _any(*words: str) -> str:
    return f"(?:{'|'.join(words)})"


# One character for another, so that offsets stay.
PLAIN = str.maketrans(
    {**dict.fromkeys("’‘ʼ´`", "'"), **dict.fromkeys("“”„«»", '"'), **dict.fromkeys("\t\xa0\u2009\u202f", " ")}
)

# ---- Where a sentence starts. Runs are bounded or possessive, so the time is linear. ----

_LAYOUT = r"[^A-Za-z0-9\\\n]{0,64}+"
_CAPITAL = "(?-i:[A-HJ-Z]|I[a-z])"
_START = _any(
    rf"^{_LAYOUT}(?:[0-9]{{1,3}}[.)]{_LAYOUT})?",
    rf"(?<=[.!?…])[^A-Za-z0-9\\\s]{{0,8}}+(?: |(?={_CAPITAL})){_LAYOUT}",
    rf"(?:[;:(\[—–]|--){_LAYOUT}",
    rf" [^A-Za-z0-9\\\n]{{0,16}}+(?={_CAPITAL})",  # lines may end without a full stop
)
_HESITATION = _any(
    *(
        "but",
        "so",
        "oh+",
        "ah+",
        "aha",
        "no",
        "nope",
        "hm+",
        "well",
        "okay",
        "ok",
        "and",
        "um+",
        "uh+",
        "er+m?",
        "yes",
    ),
    *(
        "yeah",
        "right",
        "alright",
        "all right",
        "now",
        "ugh",
        "gah",
        "or",
        "hey",
        "whoa",
        "huh",
        "yet",
        "still",
        "then",
    ),
    *(
        "maybe",
        "perhaps",
        "also",
        "anyway",
        "unfortunately",
        "however",
        "sorry",
        "again",
        "clearly",
        "obviously",
    ),
)
_LEAD = rf"(?:{_HESITATION}(?![A-Za-z'])[^A-Za-z0-9\\\n]{{1,12}}+){{0,3}}"

# ---- What follows an opening: the end of its clause, or a clause. ----

_ENDS = r"(?=[*_'\")\]]{0,4} {0,3}(?:[,.;!?…—–]|--|:)| - | *$)"
_ENDS_OR_REASON = rf"(?:{_ENDS}|(?= (?:because|since|as|either|here|though|and|so|at all|then)\b))"
_OUR_WORK = _any(
    *(
        "step",
        "equation",
        "problem",
        "question",
        "line",
        "beginning",
        "definition",
        "condition",
        "case",
        "assumption",
    ),
    *(
        "formula",
        "expression",
        "statement",
        "answer",
        "result",
        "calculation",
        "solution",
        "drawing board",
        "hint",
    ),
)
_CLAUSE = (
    r"(?= (?:no|nope|but|that|this|these|those|its?|it's|i|i'm|i've|we|he|she|they|there|there's|what|why|how|"
    r"is|are|was|"
    r"does|did|do|if|maybe|actually|so|isn't|shouldn't|doesn't|let|let's|wait|my|our|"
    rf"the (?:last |first |previous |second |other )?{_OUR_WORK})\b)"
)

# ---- What is given up, and what takes its place. ----

_WAYS = ("approach", "method", "way", "path", "route", "strategy", "idea")
_THING = _any(
    *(
        *_WAYS,
        "attempt",
        "guess",
        "assumption",
        "reasoning",
    ),
    *("logic", "claim", "conclusion", "value", "number", "sum", "total", "work", _OUR_WORK),
)
_METHOD = _any(
    *(
        *_WAYS,
        "technique",
        "angle",
        "plan",
        "direction",
    ),
    *("perspective", "argument"),
)
_OTHER_METHOD = (
    rf"(?:another|a (?:different|new|better|simpler)|some other|the other|(?:an )?alternative) {_METHOD}\b"
)
_ORDER = "(?:(?:original|previous|first|second|third|last|initial|earlier|given|current) )?"
_DEGREE = (
    "(?: (?:still|also|just|clearly|probably|definitely|actually|obviously|completely|really|all|simply|quite|"
    "even|"
    "getting|to be)){0,2}"
)
_WRONG = _any(
    *("wrong", "incorrect", "mistaken", "flawed", "off", "impossible", "absurd", "nonsense", "false"),
    *("fishy", "suspicious", "a mistake", "an error", "a dead end", "too (?:complicated|messy)"),
    r"not (?:right|correct|it|possible|quite right|working|what (?:we|i|the)\b.{0,40}?)",
)
_NOT = "(?:(?:do|does|did|wo|ca|could)n'?t|(?:do|does|did|will|could|can) not|cannot)"
_FAILS = _any(
    rf"(?:'?s| is| was| are| seems| looks| sounds| feels){_DEGREE} {_WRONG}",
    " (?:is|was|are)n'?t (?:right|correct|it|possible|quite right|working)",
    rf"{_DEGREE} (?:{_NOT}){_DEGREE} (?:work(?: out)?|fit|add up|make (?:any |much )?sense|match|hold|"
    "be(?: (?:right|correct|true|possible|so))?|(?:look|seem|sound|feel) (?:right|correct|plausible))",
    rf"{_DEGREE} (?:fails|failed|leads? nowhere|led nowhere|leads to a dead end)",
)
_SLIP = _any(
    "ma[dk]e (?:a|an|another|some|the same) (?:[a-z]+ )?(?:mistake|error|slip|miscalculation|typo)s?",
    "mis(?:read|calculated|counted|understood|interpreted|applied|took|stated|remembered|placed|copied|added|"
    "wrote)",
    "(?:messed|mixed) (?:[a-z]+ )?up",
    "overlooked",
    "forgot(?:ten)? (?:to|the|that|about|an?|one|some|this|it|its|my|our|another)",
    "(?:missed|skipped|dropped|lost|neglected) (?:an?|one|some|the) (?:[a-z]+ )?"
    "(?:case|factor|step|sign|term|condition|part|possibility|detail|root|solution|constraint|digit)",
    "double[- ]counted|counted (?:[a-z]+ )?twice",
    "[a-z]+(?: by)? the wrong",
    "[a-z]+ed (?:[a-z0-9]+ )?instead of [a-z]+ing",
)
_FAULT = _any(
    _SLIP,
    "(?:misunderstanding|misreading|missing something|overcomplicating|confusing|forgetting|"
    "making an? (?:mistake|error))",
    "(?:was|were|am|'m) (?:wrong|mistaken|confused)(?: (?:about|to|when|there|here|that)|(?=[,.;!:]))",
    "should(?:n'?t| not)?(?: have|'ve) (?:used|divided|multiplied|added|subtracted|counted|checked|noticed|"
    "taken|started|"
    "included|squared|considered|read|been|done|set|gone)",
    "take (?:that|this|it) back",
    "mean(?=,)|meant",
    "(?:see|found|find|notice|noticed|spot|spotted) (?:my|the|an?) (?:mistake|error|problem|issue|flaw)",
)
_OBJECT = (
    rf"(?:{_ENDS}|(?= (?:this|that|it|everything|things|from|with|using|by|how|what|whether|again|more|"
    rf"in (?:my|our|the))\b"
    rf"|(?: (?:the|my|our)(?: [a-z]+){{0,2}}? (?:{_THING}|problem|case|count)s?\b)))"
)
_AGAIN = "re-?(?:do|think|consider|vise|visit|compute|calculate|count|start|write|derive|evaluate|try|work)"
_GO_BACK = _any(
    rf"(?:{_AGAIN}|undo){_OBJECT}",
    r"(?:scrap|discard|abandon) (?:this|that|it|(?:the|my|our) (?:above|whole|entire|last|previous|current|"
    r"first))\b",
    r"(?:backtrack|back up|(?:take a )?step back|think again|correct myself)\b(?! [0-9])",
    r"start (?:over|afresh|anew|fresh|from scratch)\b(?! (?:at|[0-9]))",
    r"try something (?:else|different)\b",
    rf"(?:correct|fix)(?: (?:that|this|it|(?:my|our|the) (?:[a-z]+ )?(?:mistake|error|sign|calculation|answer|"
    rf"claim|step))\b|{_ENDS})",
    rf"(?:go|come|return) (?:back )?to (?:the |my |our )?{_ORDER}{_OUR_WORK}\b",
    rf"go back(?:{_ENDS}|(?= (?:and|over|through|where)\b))",
    "(?:start|begin|try|do|think|solve|count|compute|calculate|work|go)(?: (?:this|that|it|all|over|through|"
    "about|out)){0,3}"
    rf" (?:again|over)(?:{_ENDS}|(?= (?:from|with|using|and|but|by|more|carefully|here)\b))",
    rf"(?:try|use|take|find|look for|consider|think of|go with|switch to|attempt)(?: out)? {_OTHER_METHOD}",
    "(?:approach|think|look|do|solve|view|tackle|attack|try|see)(?: about| of| at)?(?: (?:this|that|it|"
    "the problem|the question))?"
    r" (?:differently|(?:in )?(?:a different|another) way|from (?:a different|another) (?:angle|"
    r"perspective))\b",
)
_WHO = _any(
    *("let me", "let'?s", "let us", "time to"),
    "i(?:'ll| should| need to| have to| must| want to| will| can| could)",
    "we(?:'ll| should| need to| have to| must| will| can| could)",
)
_ALSO = "(?: (?:just|also|now|quickly|first|instead|maybe|perhaps|rather|try to|carefully|then)){0,2}"
_SUBJECT = _any(
    rf"(?:that|this)(?: {_THING})?",
    "it|these|those|things",
    rf"(?:the|my|our) (?:(?:{_ORDER}(?:{_THING}|unit)s?|above)(?: above)?)",
)
_I = (
    r"(?:(?:(?:i (?:think|guess|believe|see|reali[sz]ed?|suspect)|(?:it )?(?:seems|looks)(?: like)?|apparently|"
    r"clearly|"
    r"(?:it )?turns out)(?: that)?,? )?(?:i|we)(?:'ve|'d|'m| am| have| had| must have| may have| might have|"
    r" could have)?"
    r"(?: (?:just|probably|also|clearly|accidentally|mistakenly|wrongly|incorrectly|actually))? ?)"
)

# ---- Openings. ----

_MARKERS = (
    rf"alternatively(?:{_ENDS}|{_CLAUSE}|(?= (?:you|one|let|the)\b))",
    rf"(?:(?:try|start)(?:ing)? (?:again|over)|{_AGAIN}(?:ing)?|backtrack|rewind|undo that|dead end|wrong|"
    rf"incorrect|mistake|"
    rf"corrected|{_NOT} (?:work|be right|be correct|make sense|add up|fit)){_ENDS}(?!:? ?[0-9])",
    rf"{_SLIP}(?![A-Za-z])",
    r"(?:on (?:second|further|closer) (?:thoughts?|reflection|look|inspection)|on reflection|thinking again|"
    r"oops|whoops|"
    r"uh-oh|darn|dang|my (?:mistake|bad|error|apologies)|apologies|sorry|correction|never ?mind|backtracking|"
    r"stepping back|"
    rf"(?:scratch|strike|scrap|forget|ignore|disregard) (?:that|this|it|the above|what i (?:said|wrote))|"
    rf"not (?:quite|right|correct|so fast)){_ENDS}",
    r"(?:i apologi[sz]e|sorry (?:about|for) (?:that|the (?:confusion|mistake|error)))\b",
    rf"{_WHO}{_ALSO} {_GO_BACK}",
    rf"instead, {_WHO}\b",
    r"(?:it|that|this|the [a-z]+) should (?:be|have been) [^.!?\n]{1,40}, not\b",
    rf"(?:(?:(?:going|coming|getting) )?back|return(?:ing)?|revisiting) to (?:(?:the |our |"
    rf"my )?{_ORDER}{_OUR_WORK}|square one)\b",
    rf"going back(?=[:.]|, (?:i|we|let|the {_OUR_WORK})\b)",
    rf"(?:there(?:'s| is| might be| may be| must be) )?{_OTHER_METHOD}(?: (?:is to|(?:would|might|"
    rf"may) be (?:better|easier|simpler))\b"
    rf"| (?:to|of) (?:solv|see|look|think|do|approach|find)|{_ENDS})",
    rf"{_I}{_FAULT}(?![A-Za-z])",
    rf"{_SUBJECT}{_FAILS}{_ENDS_OR_REASON}",
    r"(?:that|this) contradicts (?:what|my|our|the (?:earlier|previous|first|result))\b",
    r"there(?:'s| is| was| must be| seems to be| might be| may be) (?:an?|some) (?:[a-z]+ )?(?:mistake|error|"
    r"flaw)"
    rf"(?:{_ENDS}|(?= (?:in (?:my|our|the|this|that|line|step)|somewhere|here|above)\b))",
    rf"(?:there(?:'s| is| must be) )?something(?:'s| is| was| must be| seems| looks| feels| went)? (?:wrong|"
    rf"off|amiss|fishy){_ENDS_OR_REASON}",
    r"something (?:doesn't|does not|isn't|is not) (?:add up|make sense|seem right|match|fit|look right|"
    r"right)\b",
)
# These may also open a sentence that confirms or checks.
_TURNS = (
    rf"(?:(?:wait(?:,? wait)*+|hold (?:on|up)|hang on)(?: (?:a|one) (?:minute|min|second|sec|moment|bit))?"
    rf"(?:{_ENDS}(?!, (?:then|and)\b|: ?[0-9]+ ?(?:s|m|h|d))|{_CLAUSE}))",
    rf"(?:(?:hm+|oh|wait|no)[,.… ]{{1,4}})?actually(?:{_ENDS}|{_CLAUSE})|(?:hm+|oh|"
    rf"wait)[,.… ]{{1,4}}actually\b",
    r"(?:hm+|well)[,.… ]{1,4}(?:no|but)\b",
    r"no[,.…]{0,3} no\b",
    rf"(?P<no>no(?=[,.:—– -]{{1,4}}(?:that|this|it|it's|that's|i|we|but|there|the {_OUR_WORK})\b))",
)
_CHECK = (
    rf"(?:{_WHO}|i want to){_ALSO} (?:(?:double|re)[- ]?(?:check|read|examine|verify)|check|verify|confirm|"
    rf"make sure|see|"
    "look|read|think(?! again))"
)
OPENING = re.compile(
    rf"{_START}(?P<opening>{_LEAD}(?:{_any(*_MARKERS)}|(?P<unsure>{_any(*_TURNS)}|(?={_CHECK}(?![A-Za-z])))))",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)

# ---- Confirmations and checks. ----

_SURELY = (
    "(?: (?:indeed|actually|still|also|all|quite|just|probably|exactly|definitely|already|really|both|to be))*+"
)
_WHAT = "(?:that|this|it|they|everything|(?:the|my|our) [a-z]+)"
CONFIRMS = re.compile(
    r"[ ,.;:!?…—–-]*+(?:(?:but|so|no|and|well|just)[, ]++)*+(?:"
    r"(?:yes|yeah|yep|ok|okay|right|correct|indeed|good|great|fine|perfect|never ?mind)"
    rf"|{_WHAT}(?:'s|'re| is| are| was| were| seems?| looks?| sounds?| appears?){_SURELY}"
    r" (?:right|correct|fine|good|ok|okay|true|consistent|valid|it|as expected|reasonable|plausible)"
    rf"|{_WHAT}{_SURELY} (?:works?(?: out)?|does work|checks out|adds? up|holds?(?: up)?|fits?|match(?:es)?"
    r"|makes? sense)"
    rf"|(?:is|are|was) {_WHAT}{_SURELY} (?:right|correct|true|ok|okay|it)\?"
    rf"|{_CHECK})(?![A-Za-z-])",
    re.IGNORECASE | re.ASCII,
)
