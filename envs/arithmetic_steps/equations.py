r"""Finds the equations of a text that can be computed.

In: any text, such as ``Natalia sold 48/2 = 24 clips in May``. Out: its equations, each with its place, its
sides as exact numbers and the numbers they were computed from. An equation is a chain of two sides or more that
are joined by ``=``, at least one with an operation. What cannot be computed (letters, roots, ``x = 5``) is no
equation here, nor is ``60 minutes = 1 hour``. Units, words between number and operator, currency, mark-up and
LaTeX are read over.

One pass over the tokens; nothing in the text is evaluated but by `envs.arithmetic`, within its bounds.
"""

from __future__ import annotations

from collections.abc import Callable

from envs.arithmetic_steps.sides import Draft, Equation
from envs.arithmetic_steps.terms import Terms
from envs.arithmetic_steps.tokens import Kind, Token
from envs.arithmetic_steps.vocabulary import (
    ABBREVIATIONS,
    ARTICLES,
    EQUALS,
    FILLERS,
    NUMBER_WORDS,
    OPERATOR_PAIRS,
    OPERATOR_WORDS,
    SCALES,
    UNIT_LETTERS,
    UNITS,
)

MAX_UNIT_WORDS = 12
"""Words that may stand between a number and its operator."""
_MAX_AHEAD = 4


def find_equations(text: str) -> list[Equation]:
    """The equations of a text, in order; no text makes it raise, and it takes time linear in the text."""
    return _Reader(text).read()


class _Reader(Terms):
    """Reads operators, relations, words and what ends a chain."""

    def read(self) -> list[Equation]:
        take: dict[Kind, Callable[[Token], None]] = {
            Kind.NUMBER: self.number,
            Kind.WORD: self.word,
            Kind.OPERATOR: self.operator,
            Kind.RELATION: self.relation,
            Kind.STOP: self.punctuation,
            Kind.NEWLINE: self.newline,
            Kind.MONEY: self.money,
            Kind.CENTS: self.money,
            Kind.PERCENT: self.percent,
            Kind.OPEN: self.open_bracket,
            Kind.CLOSE: self.close_bracket,
            Kind.STARS: self.stars,
            Kind.SUPERSCRIPT: self.superscript,
            Kind.FRACTION: self.fraction,
            Kind.LEFT_BRACE: lambda _: self.left_brace(),
            Kind.RIGHT_BRACE: self.right_brace,
            Kind.UNKNOWN: lambda _: self.skip(),
        }
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if not self.skipping:
                take[token.kind](token)
            elif token.kind in (Kind.RELATION, Kind.STOP, Kind.NEWLINE):
                self.skipping = False
            self.at += 1
        self.stop()
        return self.found

    # ---- what ends a chain, and what does not ----

    def punctuation(self, token: Token) -> None:
        """End the chain, except at the apostrophe or full stop of a word, and at the dots of ``33.333...``."""
        draft = self.draft
        if draft is not None and draft.end == token.start and not draft.wants_operand:
            if self.text.startswith(("...", "…"), token.start):
                draft.about = True
                draft.end += 3 if token.text == "." else 1
                draft.last += 3 if token.text == "." else 1
                self.at += 2 if token.text == "." else 0
                return
            if token.text == "," and self.text[token.end : token.end + 1].isdecimal():
                self.skip()  # 16,0000
                return
        before = self.peek(-1)
        is_part = before.kind is Kind.WORD and before.end == token.start
        if not is_part or (token.text not in "'’" and (token.text != "." or before.text not in ABBREVIATIONS)):
            self.stop()

    def newline(self, token: Token) -> None:
        """End the chain, unless the next line goes on with an equals sign."""
        if self.peek(1).kind is not Kind.RELATION:
            self.stop()

    def money(self, token: Token) -> None:
        """Note a unit of money before or right behind a number."""
        draft = self.draft
        if draft is not None and (draft.wants_operand or draft.end == token.start):
            draft.units.add(token.text)
            draft.end = draft.end if draft.wants_operand else token.end

    # ---- operators ----

    def operator(self, token: Token) -> None:
        """Read an operator, a sign, a hyphen, "per" or mark-up."""
        draft = self.draft
        following = self.peek(1)
        wants = self.starts_operand(1)
        touches = following.start == token.end
        if draft is None:
            before = self.text[token.start - 1] if token.start else " "
            if token.text == "-" and wants and touches and (before.isspace() or before in "($=:*"):
                draft = self.begin(token)
                if draft is not None:
                    draft.pieces.append("-")
        elif draft.wants_operand:
            if token.text == "-" and wants:
                draft.pieces.append("-")
            elif token.text != "*":  # else mark-up
                self.skip()
        elif token.text == "^":
            self.power(draft)
        elif wants or following.text == "-":
            draft.put_operator(token.text)
        elif following.kind is not Kind.WORD:
            if token.text != "*":
                self.stop()
        elif not self._article(draft, token):
            self._word_after_operator(draft, token, following)

    def _article(self, draft: Draft, token: Token) -> bool:
        """Read over words such as "the other" between an operator and its number."""
        ahead = 1
        while ahead < _MAX_AHEAD and self.peek(ahead).text in ARTICLES:
            ahead += 1
        if ahead == 1 or not self.starts_operand(ahead):
            return False
        draft.put_operator(token.text)
        self.at += ahead - 1
        return True

    def _word_after_operator(self, draft: Draft, token: Token, word: Token) -> None:
        hyphen = token.text == "-" and word.start == token.end and self.text[word.start].islower()
        if (token.text == "/" or hyphen) and (len(word.text) > 1 or word.text in UNIT_LETTERS):
            self.at += 1  # per hour, 5-hour
            draft.num_words += 1
            if hyphen and word.text in UNITS and draft.last == self.at - 2:
                draft.units.add(word.text)
                draft.end = word.end
        elif token.text == "-":
            self.stop()
        else:
            self.skip()  # times a name

    def stars(self, token: Token) -> None:
        """Read two stars: a power between two numbers, else mark-up."""
        draft = self.draft
        if draft is None or draft.wants_operand or not self.starts_operand(1):
            return
        before, after = self.text[token.start - 1], self.text[token.end]
        if before == after == " " or (before.isalnum() and after.isalnum()):
            draft.put_operator("^")

    # ---- words ----

    def word(self, token: Token) -> None:
        """Read a word: an operator, a relation, a number, a name or a unit."""
        draft = self.draft
        if token.text in NUMBER_WORDS and self._is_operand(draft):
            self.number(token)
        elif draft is not None and draft.wants_operand:
            self.stop()
        elif draft is not None and not self._is_operator(draft, token) and not self._is_relation(draft, token):
            self._name_or_unit(draft, token)

    def _is_operand(self, draft: Draft | None) -> bool:
        """Whether a number word stands where only a number can: after an operator, or before "times"."""
        if draft is not None and draft.wants_operand and draft.operators:
            return True
        return self.peek(1).text in OPERATOR_WORDS and self.starts_operand(2)

    def _is_operator(self, draft: Draft, token: Token) -> bool:
        following = self.peek(1).text
        if token.text in OPERATOR_WORDS and self.starts_operand(1):
            draft.put_operator(OPERATOR_WORDS[token.text])
        elif (token.text, following) in OPERATOR_PAIRS and self.starts_operand(2):
            draft.put_operator(OPERATOR_PAIRS[token.text, following])
            self.at += 1
        elif token.text == "of" and draft.num_words == 0 and draft.is_share():
            ahead = 1
            while ahead < _MAX_AHEAD and self.peek(ahead).text in ARTICLES:
                ahead += 1
            if self.peek(ahead).kind is Kind.WORD or not self.starts_operand(ahead):
                return False
            if self.sides and len(draft.operators) <= 1:
                self.stop()  # "3/3 - 2/3 = 1/3 of $150"
                return True
            draft.put_operator("*")
            self.at += ahead - 1
        else:
            return False
        return True

    def _is_relation(self, draft: Draft, token: Token) -> bool:
        """Read "is", "equals" and the like right after something computed and before a number."""
        if token.text not in EQUALS or not draft.operators or draft.num_words > 2:
            return False
        if draft.frames or draft.is_ratio():
            return False
        ahead = 1
        while ahead < _MAX_AHEAD and self.peek(ahead).text in FILLERS | EQUALS:
            ahead += 1
        if not self.starts_operand(ahead):
            return False
        while self.peek(1).text in EQUALS:
            self.at += 1
        self.relation(token)
        return True

    def _name_or_unit(self, draft: Draft, token: Token) -> None:
        word = token.text
        follows_number = draft.last == self.at - 1
        touches = follows_number and draft.end == token.start
        if word == "percent":
            self.percent(token)
        elif word in SCALES and follows_number and (word != "k" or touches):
            draft.factors[len(draft.pieces) - 1] = f"*{SCALES[word]}"
            draft.has_scale = True
            draft.end = token.end
        elif (
            len(word) == 1
            and (word not in "aI" or touches)
            and (word not in UNIT_LETTERS or word in self.names)
            and (touches or self.peek(1).kind in (Kind.OPERATOR, Kind.RELATION))
        ):
            self.skip()  # a variable
        else:
            if draft.num_words == 0 and word in UNITS:
                draft.units.add(word)
                draft.end = token.end
            draft.num_words += 1
            if draft.num_words > MAX_UNIT_WORDS:
                self.stop()
