"""The words and commands of mathematical answers: spellings, functions, letters, words that are no unit."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT_COMMANDS = _words(
    r"\text \textbf \textit \textrm \textsf \texttt \textnormal \mathrm \mathbf \mathit \mathsf \mathcal \mbox "
    r"\operatorname \boldsymbol \bm"
)
FUNCTIONS = _words(
    r"\sin \cos \tan \cot \sec \csc \log \ln \lg \exp \arcsin \arccos \arctan \arccot \arcsec \arccsc \sinh "
    r"\cosh \tanh \coth \arcsinh \arccosh \arctanh"
)
LETTERS = _words(
    r"\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \vartheta \iota \kappa \lambda \mu "
    r"\nu \xi \rho \sigma \tau \upsilon \phi \varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi "
    r"\Pi \Sigma \Phi \Psi \Omega \ell"
)
DECORATIONS = _words(
    r"\overline \bar \vec \hat \tilde \dot \overrightarrow \underline \widehat \angle \triangle"
)
NOT_UNITS = _words(
    "thousand thousands hundred hundreds million millions billion billions trillion dozen dozens half "
    "halves third thirds quarter quarters pi sqrt squared cubed times plus minus over mod choose fourth "
    "fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth tenths "
    "hundredth hundredths thousandth thousandths millionth millionths lakh lakhs crore crores score gross "
    "grand mil mn bn negative below zero factorial to by not of is are sin cos tan log exp more less than "
    "least most nor but if else true false nan oo zoo inf infinity undefined nani snan "
)
NO_VALUE = _words("so nan oo zoo inf infinity nani snan")
NOT_LETTERS = NO_VALUE | _words(
    "and or not to of is are if than the for mod min max gcd lcm det deg cm mm km kg mg ft lb lbs oz hr hrs "
    "mph True None no on it in at an as am by go do so he be up us we me my"
)
EMPTY = _words("none empty") | {
    "no solution", "no solutions", "no real solution", "no real solutions", "empty set", "the empty set",
    "there is no solution", "there are no solutions", "no such numbers",
}  # fmt: skip
UNDEFINED = frozenset(("dne", "does not exist", "undefined", "not defined"))
ALL_REALS = frozenset(("all real numbers", "all reals", "all real", "the real numbers", "real numbers"))
OR, AND = r"\lor", r"\land"
ALIASES = {
    **dict.fromkeys((r"\dfrac", r"\tfrac", r"\cfrac"), r"\frac"),
    **dict.fromkeys((r"\dbinom", r"\tbinom"), r"\binom"),
    **dict.fromkeys((r"\cdot", r"\times", r"\ast", "×", "·", "⋅", "∗", "•", "✕"), "*"),
    **dict.fromkeys((r"\div", "÷", "∕", "⁄"), "/"),
    **dict.fromkeys((r"\leq", r"\le", r"\leqslant", "≤", "=<"), "<="),
    **dict.fromkeys((r"\geq", r"\ge", r"\geqslant", "≥", "=>"), ">="),
    **dict.fromkeys((r"\neq", r"\ne", "≠"), "!="),
    **dict.fromkeys((r"\lt",), "<"),
    **dict.fromkeys((r"\gt",), ">"),
    **dict.fromkeys((r"\degree", r"\degrees", r"\circ", "º"), "°"),
    **dict.fromkeys((r"\varnothing", "∅"), r"\emptyset"),
    **dict.fromkeys((r"\approx", r"\simeq", "≈", r"\doteq"), r"\approx"),
    **dict.fromkeys(("percent", "percentage", "pct", r"\%"), "%"),
    **dict.fromkeys(("infinity", "Infinity", "∞"), r"\infty"),
    **dict.fromkeys(("and", "And", "AND", r"\wedge", "∧"), AND),
    **dict.fromkeys(("or", "Or", "OR", r"\vee", "∨"), OR),
    **dict.fromkeys((r"\pr", r"\prime"), "'"),
    "**": "^",
    "π": r"\pi",
    "pi": r"\pi",
    "Pi": r"\pi",
    "∪": r"\cup",
    "∈": r"\in",
    "±": r"\pm",
    ";": ",",
    r"\lbrace": r"\{",
    r"\rbrace": r"\}",
    **dict.fromkeys((r"\lvert", r"\rvert", r"\vert", r"\mid"), "|"),
    r"\langle": "(",
    r"\rangle": ")",
    r"\fbox": r"\boxed",
    r"\$": "$",
    r"\mathdollar": "$",
    r"\textdollar": "$",
    r"\euro": "€",
    r"\pounds": "£",
    r"\imath": "i",
    r"\e": "e",
    r"\backslash": r"\setminus",
    **{name[1:]: name for name in FUNCTIONS},
    **{name[1:]: name for name in LETTERS if name != r"\ell"},
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
    "sqrt": r"\sqrt",
    **dict.fromkeys(_words(r"\( \) \[ \] ~ \, \; \: \quad \qquad \enspace \thinspace"), " "),
    **dict.fromkeys(("\\ ", "\xa0", "\u202f", "\u2009", "\u2003"), " "),
    **dict.fromkeys(
        _words(
            r"\left \right \big \Big \bigg \Bigg \bigl \bigr \Bigl \Bigr \biggl \biggr \displaystyle "
            r"\textstyle \limits \middle \rm \bf"
        ),
        "",
    ),
}
