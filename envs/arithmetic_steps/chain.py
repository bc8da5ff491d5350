"""The chain of sides that is being read, and where the reader is."""

from __future__ import annotations

from envs.arithmetic_steps.sides import Draft, Equation, Side
from envs.arithmetic_steps.tokens import Kind, Token, tokenize
from envs.arithmetic_steps.vocabulary import (
    ABOUT,
    CHANGES,
    FILLERS,
    NUMBER_WORDS,
    SHARE_NAMES,
    UNIT_LETTERS,
)

_STARTS = (Kind.NUMBER, Kind.OPEN, Kind.FRACTION, Kind.MONEY)
_NO_TOKEN = Token(Kind.STOP, "", -1, -1)


class Chain:
    """The tokens of a text, the place in them, the sides read so far and the one being read.

    Attributes:
        draft: The side being read; None between chains.
        skipping: Whether the reader is inside a side that cannot be computed.
        names: Single letters that the text uses as names.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.found: list[Equation] = []
        self.draft: Draft | None = None
        self.sides: list[tuple[Side, Draft]] = []
        self.skipping = False
        self.at = 0
        self.names = self.variables()

    def variables(self) -> set[str]:
        """Single letters that the text uses as names, such as ``m`` in ``m + 5 = 7``."""
        found: set[str] = set()
        joints = (Kind.OPERATOR, Kind.RELATION)
        for at, token in enumerate(self.tokens):
            if token.kind is Kind.WORD and token.text in UNIT_LETTERS:
                before = self.tokens[at - 1] if at else _NO_TOKEN
                after = self.tokens[at + 1] if at + 1 < len(self.tokens) else _NO_TOKEN
                if before.kind is not Kind.NUMBER and before.text != "/" and after.kind in joints:
                    found.add(token.text)
        return found

    def peek(self, ahead: int) -> Token:
        """A token near the present one; an empty one beyond the ends."""
        at = self.at + ahead
        return self.tokens[at] if 0 <= at < len(self.tokens) else _NO_TOKEN

    def starts_operand(self, ahead: int) -> bool:
        """Whether a token near the present one can start an operand."""
        token = self.peek(ahead)
        return token.kind in _STARTS or token.text in NUMBER_WORDS

    def begin(self, token: Token) -> Draft | None:
        """Start a chain at an operand; None if what stands before makes it part of something else."""
        money = self.peek(-1).kind is Kind.MONEY
        before, two = self.peek(-1 - money), self.peek(-2 - money)
        is_bullet = two.kind is Kind.NEWLINE or (two.kind is Kind.STOP and not two.text[:1].isdecimal())
        if before.kind is Kind.OPERATOR and not is_bullet:
            # "price * 3" cannot be computed; a hyphen in a name and a star around bold text are no operators.
            if before.text == "*" and before.end == token.start:
                is_operator = two.end == before.start
            else:
                is_operator = before.end < token.start or before.text not in "-*" or len(two.text) == 1
            if is_operator:
                self.skipping = True
                return None
        if before.text in CHANGES or (before.text == "of" and two.text in SHARE_NAMES):
            return None  # "half of 10"
        self.draft = Draft(self.peek(-1).start if money else token.start)
        if money:
            self.draft.units.add("$")
        return self.draft

    def stop(self) -> None:
        """End the chain that is being read, and keep it if it claims something."""
        if self.draft is not None:
            side = self.draft.side()
            if side is not None:
                self.sides.append((side, self.draft))
        self.draft = None
        sides, self.sides = self.sides, []
        # What stands first without an operation is a label: "the cost of 3 apples = 3 * 2 = 6".
        first = next((at for at, (side, _) in enumerate(sides) if side.num_operations), len(sides))
        sides = sides[first:]
        if len(sides) > 1:
            self.found.append(
                Equation(
                    span=(sides[0][1].start, sides[-1][1].end),
                    sides=tuple(side for side, _ in sides),
                    is_approximate=tuple(draft.about for _, draft in sides[1:]),
                )
            )

    def skip(self) -> None:
        """Leave out the rest of a side that cannot be computed."""
        self.draft = None
        self.stop()
        self.skipping = True

    def relation(self, token: Token) -> None:
        """End a side at an equals sign, and begin the next one."""
        draft = self.draft
        self.draft = None
        self.skipping = False
        if draft is not None and draft.frames:
            if draft.frames[-1].kind != "(" or self.sides:
                self.stop()
                return
            draft = draft.inside()  # "7 (3 + 4 = 7)"
            if draft.pieces[:1] == ["-"]:
                draft = None
        side = None if draft is None else draft.side()
        if draft is None or side is None:
            self.sides = []
            return
        self.sides.append((side, draft))
        about = token.text == "~"
        while self.peek(1).text in FILLERS:
            self.at += 1
            about = about or self.peek(0).text in ABOUT
        if self.peek(1).kind is Kind.NEWLINE:
            self.at += 1
        following = self.peek(1)
        self.draft = Draft(token.end if following is _NO_TOKEN else following.start, about=about)
