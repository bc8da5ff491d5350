r"""Numbers, fractions, powers and brackets: what stands between the operators of a side."""

from __future__ import annotations

from fractions import Fraction

from envs.arithmetic_steps.chain import Chain
from envs.arithmetic_steps.sides import Draft, read_literal
from envs.arithmetic_steps.tokens import GLYPHS, Kind, Token
from envs.arithmetic_steps.vocabulary import OPERATOR_WORDS, ORDINALS

_MAX_BRACKETED_WORDS = 6


class Terms(Chain):
    """Reads operands."""

    # ---- numbers ----

    def number(self, token: Token) -> None:
        """Read a number: the start of a chain, or the next operand."""
        before = self.text[token.start - 1] if token.start else " "
        if before == "," and self.text[token.start - 2 : token.start - 1].isdecimal():
            self.skip()  # 16,0000
            return
        if before == "_" or (before.isalpha() and self.peek(-1).text not in ("x", "X")):
            self.stop()  # part of a name, such as A1
            return
        draft, after = self.draft, self.peek(1)
        if after.text in ORDINALS and after.start == token.end and (draft is None or not draft.wants_operand):
            self.stop()
            return
        literal = read_literal(token.text)
        if literal is None:
            self.skip()
            return
        piece, value, places = literal
        if draft is not None and not draft.wants_operand:
            if self._mixed(draft, token, piece, value) or self._spaced_thousands(draft, token):
                return
            self.stop()
            draft = None
        draft = draft or self.begin(token)
        if draft is None:
            return
        if draft.pieces[-1:] == ["/"] and self._is_tight_fraction(token):
            under = self.peek(2)
            below = read_literal(under.text)
            if below is not None:
                draft.pieces += ["(", piece, "/"]
                draft.operands.append(value)
                draft.operators.append("/")
                draft.put_operand(below[0], below[1], self.at + 2, under.end)
                draft.pieces.append(")")
                self.at += 2
                return
        draft.places = places
        draft.put_operand(piece, value, self.at, token.end)

    def _is_tight_fraction(self, token: Token) -> bool:
        """Whether ``a/b`` without spaces follows a division sign with spaces, as in ``60 / 3/4``."""
        slash, under = self.peek(1), self.peek(2)
        return (
            self.peek(-1).end < token.start == slash.start - len(token.text)
            and slash.text == "/"
            and under.kind is Kind.NUMBER
            and under.start == slash.end
        )

    def _mixed(self, draft: Draft, token: Token, piece: str, value: Fraction) -> bool:
        """Read the fraction of a mixed number such as ``2 1/2`` or ``2½``."""
        between = self.at - draft.last
        if between != 1 and (between != 2 or self.peek(-1).text != "and"):
            return False
        if draft.places != 0 or not draft.pieces[-1].isdecimal():
            return False
        end = token.end
        if token.text not in GLYPHS:
            slash, under = self.peek(1), self.peek(2)
            if slash.text != "/" or slash.start != token.end or under.start != slash.end:
                return False
            if not (token.text.isdecimal() and under.text.isdecimal() and len(under.text) <= 3):
                return False
            if value >= int(under.text):
                return False
            value, piece, end = value / int(under.text), f"({piece}/{int(under.text)})", under.end
            self.at += 2
        draft.pieces[-1] = f"({draft.pieces[-1]}+{piece})"
        draft.operands[-1] += value
        draft.end = end
        draft.last = self.at
        draft.places = None
        return True

    def _spaced_thousands(self, draft: Draft, token: Token) -> bool:
        """Read the end of a result such as ``18 000``; within a side only zeros."""
        if (
            draft.last != self.at - 1
            or (token.text != "000" and (not self.sides or draft.operators))
            or (token.text != "000" and self.peek(1).kind in (Kind.OPERATOR, Kind.PERCENT))
            or (token.text != "000" and self.peek(1).text in OPERATOR_WORDS)
            or token.start != draft.end + 1
            or not (len(token.text) == 3 and token.text.isdecimal())
            or not (draft.pieces[-1].isdecimal() and len(draft.pieces[-1]) <= 3)
        ):
            return False
        draft.pieces[-1] += token.text
        draft.operands[-1] = Fraction(int(draft.pieces[-1]))
        draft.end = token.end
        draft.last = self.at
        return True

    def percent(self, token: Token) -> None:
        """Read a percent sign or the word."""
        draft = self.draft
        if draft is None or draft.wants_operand:
            return
        if draft.last == self.at - 1 or self.peek(-1).kind is Kind.CLOSE:
            draft.factors[len(draft.pieces) - 1] = "/100"
            draft.has_percent = True
            draft.end = token.end

    # ---- powers ----

    def superscript(self, token: Token) -> None:
        """Read ``²`` after a number; after a unit it means nothing here."""
        draft = self.draft
        if draft is None or draft.wants_operand:
            self.stop()
        elif self.peek(-1).kind is not Kind.WORD:
            self._raise(draft, token)

    def power(self, draft: Draft) -> None:
        """Read ``^`` and its exponent after a number, and read over them after a unit."""
        is_unit = self.peek(-1).kind is Kind.WORD
        braced = self.peek(1).kind is Kind.LEFT_BRACE
        exponent = self.peek(1 + braced)
        if exponent.kind is not Kind.NUMBER or (braced and self.peek(3).kind is not Kind.RIGHT_BRACE):
            self.skip()
            return
        self.at += 3 if braced else 1
        if not is_unit:
            self._raise(draft, exponent)

    def _raise(self, draft: Draft, exponent: Token) -> None:
        literal = read_literal(exponent.text)
        if literal is None:
            self.skip()
            return
        draft.pieces += ["^", literal[0]]
        draft.operators.append("^")
        draft.end = exponent.end

    # ---- LaTeX fractions ----

    def fraction(self, token: Token) -> None:
        r"""Read ``\frac`` and the start of its arguments; after a whole number it makes a mixed one."""
        draft, after = self.draft, self.peek(1)
        if after.kind is Kind.NUMBER and len(after.text) == 2 and after.text.isdecimal():
            draft = self._open(token, "two digits", "(")
            if draft is not None:
                draft.frames.pop()
                above, below = after.text[0], after.text[1]
                draft.pieces += [above, "/"]
                draft.operands.append(Fraction(int(above)))
                draft.operators.append("/")
                draft.put_operand(below, Fraction(int(below)), self.at + 1, after.end)
                draft.pieces.append(")")
            self.at += 1
        elif after.kind is not Kind.LEFT_BRACE:
            self.skip()
        elif (
            draft is not None
            and not draft.wants_operand
            and draft.last == self.at - 1
            and draft.places == 0
            and draft.pieces[-1].isdecimal()
        ):
            draft.pieces[-1] = f"({draft.pieces[-1]}+"
            draft.open("above, mixed", "((")
            self.at += 1
        else:
            self._open(token, "above", "((")
            self.at += 1

    def _open(self, token: Token, kind: str, piece: str) -> Draft | None:
        """Open a bracket where an operand is wanted or a chain can start."""
        if self.draft is not None and not self.draft.wants_operand:
            self.stop()
        draft = self.draft or self.begin(token)
        if draft is not None:
            draft.open(kind, piece)
        return draft

    def left_brace(self) -> None:
        """Read a brace that groups; only inside brackets does it matter where it ends."""
        if self.draft is not None and self.draft.frames:
            self.draft.frames.append(self.draft.frames[-1]._replace(kind="{"))

    def right_brace(self, token: Token) -> None:
        """Read the end of a group or of an argument."""
        draft = self.draft
        if draft is None or not draft.frames:
            return
        kind = draft.frames[-1].kind
        if kind == "{":
            draft.frames.pop()
        elif kind == "(":
            self.stop()
        elif draft.wants_operand:
            self.skip()
        elif kind.startswith("above"):
            if self.peek(1).kind is not Kind.LEFT_BRACE:
                self.skip()
                return
            self.at += 1
            draft.frames[-1] = draft.frames[-1]._replace(kind=kind.replace("above", "below"))
            draft.pieces.append(")/(")
            draft.operators.append("/")
            draft.wants_operand = True
        else:
            frame = draft.frames.pop()
            draft.pieces.append("))")
            draft.closed(token.end)
            if kind.endswith("mixed"):
                draft.pieces.append(")")
                if draft.num_since(frame) == 2 and draft.operands[-1]:  # a whole number and a plain fraction
                    whole, above, below = draft.operands[-3:]
                    draft.operands[-3:] = [whole + above / below]
                    draft.operators.pop()

    # ---- brackets ----

    def open_bracket(self, token: Token) -> None:
        """Read ``(``: a group, a factor right behind a number, or a unit such as "(hours)"."""
        draft, before = self.draft, self.peek(-1)
        end = self._words_in_brackets()
        if draft is not None and not draft.wants_operand:
            if end and before.end < token.start:
                self.at = end
                return
            if end and before.kind is not Kind.WORD:
                self.skip()  # times a name
                return
            if before.end == token.start and before.kind in (Kind.NUMBER, Kind.CLOSE, Kind.PERCENT):
                draft.put_operator("*")
            else:
                self.stop()
                draft = None
        if draft is None and end:
            return
        draft = self._open(token, "(", "(")
        if draft is not None:
            following = self.peek(1)
            draft.frames[-1] = draft.frames[-1]._replace(start=max(following.start, token.end))

    def close_bracket(self, token: Token) -> None:
        """Read ``)``; one that was not opened ends the chain."""
        draft = self.draft
        if draft is None:
            return
        if not draft.frames or draft.frames[-1].kind != "(" or draft.wants_operand:
            self.stop()
            return
        draft.frames.pop()
        draft.pieces.append(")")
        draft.closed(token.end)

    def _words_in_brackets(self) -> int:
        """The position of the closing bracket, if there are only words before it; else 0."""
        for ahead in range(1, _MAX_BRACKETED_WORDS + 2):
            kind = self.peek(ahead).kind
            if kind is Kind.CLOSE:
                return self.at + ahead if ahead > 1 else 0
            if kind is not Kind.WORD:
                return 0
        return 0
