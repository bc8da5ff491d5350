"""The wording of algebra: the same equations in other symbols, ``❀ ❤ ♪ ♙ ↔ ♋`` for ``⊖ ♥ ⊘ ♣ → ♦``."""

from __future__ import annotations

from envs.released.wording import Wording, WordingError

# In the order of the released symbol map: x, the constants A-D, F-H of train and id, I-M, P, R of OOD-hard,
# then the operators. It has 14 constants; the last two of ours have symbols of our choice.
_THEIRS = "❤♋♙♏⚛☺⛭♨☘✊☕✈▣⊤✄☂☃✰❀✾♪↔❲❳◯"
_OURS = "♥♦♣♠★▲■●◆▼▶◀☆□△♪☀⊕⊖⊗⊘→()○"
_READ = dict(zip(_THEIRS, _OURS, strict=True))
_WRITE = str.maketrans(_OURS, _THEIRS)


class AlgebraWording(Wording):
    """Symbols are translated one by one; spaces stay where they are."""

    as_equations = True

    def read_question(self, text: str) -> str:
        """See `Wording`."""
        return self._read(text.strip())

    def read_line(self, text: str) -> str:
        """See `Wording`."""
        return self._read(text)

    def read_answer(self, text: str) -> str:
        """See `Wording`."""
        return self._read(text)

    def write_question(self, question: str) -> str:
        """See `Wording`."""
        return question.translate(_WRITE)

    def write_line(self, line: str) -> str:
        """See `Wording`."""
        return line.translate(_WRITE)

    def write_answer(self, answer: str) -> str:
        """See `Wording`."""
        return answer.translate(_WRITE)

    def _read(self, text: str) -> str:
        try:
            return "".join([symbol if symbol == " " else _READ[symbol] for symbol in text])
        except KeyError as error:
            raise WordingError(f"{text[:80]!r} has {error.args[0]!r}, which is no symbol of the data") from None
