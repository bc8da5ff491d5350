r"""Everyday spellings of one character or mark as the plain text or LaTeX that they stand for.

In: a stated answer as a model or a data set spells it: ``**73**``, ``½``, ``x²``, ``√3``, ``5 &lt; x``,
``（1，2）``.
Out: the same answer for `envs.maths.grammar`. Takes time linear in the text. Digits other than 0 to 9 are left
for the gate to refuse.
"""

from __future__ import annotations

import re

_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎", "0123456789+-()", strict=True))
_GREEK = {
    **dict(zip("αβγδεζηθικλμνξρστυφχψω", (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
        "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    ), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", (
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
    ), strict=True)),
    "ϕ": "phi", "ϵ": "epsilon", "ϑ": "theta", "∆": "Delta", "µ": "mu",
}  # fmt: skip
_SIGNS = str.maketrans(
    {
        **{sign: rf"\frac{{{above}}}{{{below}}}" for sign, (above, below) in _FRACTIONS.items()},
        **{letter: rf"\{name} " for letter, name in _GREEK.items()},
        **dict.fromkeys("–—‐‑‒―−﹣", "-"),
        **{chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F) if not 0x30 <= code < 0x3A},
        "√": r"\sqrt ", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "ℝ": r"\mathbb{R}", "℃": "°C", "℉": "°F",
        "⟨": r"\langle ", "⟩": r"\rangle ",
        "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
        "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "、": ",", "。": ".", "∣": "|", "∖": r"\setminus ",
        "ℯ": "e", "ⅈ": "i", "∨": r"\lor ", "∧": r"\land ", "∩": r"\cap ", "～": "~",
    }
)  # fmt: skip
_RUN = re.compile(f"[{re.escape(''.join(_RAISED))}]+|[{re.escape(''.join(_LOWERED))}]+")
_ENTITY = re.compile(
    r"&(lt|gt|le|ge|leq|geq|ne|amp|nbsp|times|minus|pi|infin|radic|deg|frac12|#60|#62|#39|quot);"
)
_ENTITIES = {
    "lt": "<", "gt": ">", "le": r"\le ", "ge": r"\ge ", "leq": r"\le ", "geq": r"\ge ", "ne": r"\ne ",
    "amp": "&", "nbsp": " ", "times": "*", "minus": "-", "pi": r"\pi ", "infin": r"\infty ",
    "radic": r"\sqrt ", "deg": "°", "frac12": r"\frac{1}{2}", "#60": "<", "#62": ">", "#39": "'", "quot": '"',
}  # fmt: skip
_RAISED_TAG = re.compile(r"<sup>([^<>]{1,20})</sup>")
_TAG = re.compile(r"</?(?:b|i|u|p|em|strong|span|code)>")
_TIMES_TEN = re.compile(r"([0-9]) ?[xX] ?10\^")
_MARKS = ("**", "__", "``", "*", "_", "`", '"', "'")
_HEDGE = re.compile(
    r"(?:approximately|approx\.?|about|around|roughly|nearly|equal to|equals)[ :]+(?=[^ ])"
    r"|=(?=[^=])|~ ?(?=[0-9$])",
    re.I,
)


def respell(text: str) -> str:
    r"""The text in plain characters, without marks of emphasis or quotation around it.

    Example: ``**2½ √x²**`` gives ``2\frac{1}{2} \sqrt x^{2}``.
    """
    if not text.isascii():
        text = _RUN.sub(_run, text).translate(_SIGNS)
    text = text.strip(" ")
    if "&" in text:
        text = _ENTITY.sub(lambda found: _ENTITIES[found[1]], text)
    if "<" in text and ">" in text:
        text = _TAG.sub("", _RAISED_TAG.sub(r"^{\1}", text))
    if "10^" in text:
        text = _TIMES_TEN.sub(r"\1*10^", text)
    text = _without_marks(text)
    if text[:1].isalpha() or text[:1] in ("=", "~"):
        found = _HEDGE.match(text)
        text = text[found.end() :] if found else text
    return text


def _run(found: re.Match[str]) -> str:
    signs = found[0]
    if signs[0] in _RAISED:
        return "^{" + "".join(_RAISED[sign] for sign in signs) + "}"
    return "_{" + "".join(_LOWERED[sign] for sign in signs) + "}"


def _without_marks(text: str) -> str:
    r"""Without ``**`` and the like around the text, before its full stop, or around its first part."""
    for _ in range(3):
        for mark in _MARKS:
            if not text.startswith(mark) or len(text) <= 2 * len(mark):
                continue
            body, stop = (text[:-1], text[-1]) if text[-1] in ".,:" else (text, "")
            inside = body[len(mark) : -len(mark)]
            if body.endswith(mark) and mark not in inside:
                text = inside.strip(" ") + stop
                break
            if mark == "**" and text.count("**") == 2:  # **E)** 12
                text = text.replace("**", "")
                break
        else:
            return text
    return text
