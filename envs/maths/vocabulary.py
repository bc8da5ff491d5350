"""The words and commands of mathematical answers: spellings, functions, symbols, units."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT_COMMANDS = _words(
    r"\text \textbf \textit \textrm \textsf \textnormal \mathrm \mathbf \mathit \mathsf \mbox "
    r"\operatorname"
)
FUNCTIONS = _words(
    r"\frac \sqrt \sin \cos \tan \cot \sec \csc \log \ln \exp \arcsin \arccos \arctan \sinh \cosh \tanh"
)
SYMBOLS = _words(
    r"\pi \infty \pm \mp \cup \cap \in \emptyset \approx \{ \} \mathbb \alpha \beta \gamma \delta "
    r"\epsilon \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu \xi \rho \sigma \tau \phi "
    r"\varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Sigma \Phi \Psi \Omega \overline \bar \mid "
    r"\equiv \to"
)
BLOW_UPS = _words(
    r"\int \iint \oint \sum \prod \lim \limsup \liminf \binom \dbinom \tbinom \choose \det \lfloor \lceil "
    r"\bigcup \bigcap \newcommand \def \let \input \include \write \csname \gcd \lcm \bmod \pmod \mod "
    r"\max \min \sup \inf"
)
SHORT_UNITS = _words("cm mm km kg mg ft lb lbs oz hr hrs mi mph ml in sq cu sec min yd")
NOT_UNITS = _words(
    "thousand thousands hundred hundreds million millions billion billions trillion dozen dozens half "
    "halves third thirds quarter quarters pi sqrt squared cubed times plus minus over mod choose "
    "factorial to by not of is are sin cos tan log exp more less than least most nor but"
)
NO_VALUE = _words("nan oo zoo inf infinity undefined nani snan")
AND = " ,"  # "and" and "or": a comma with a space before it, so it is never part of a number
ALIASES = {
    **dict.fromkeys((r"\dfrac", r"\tfrac", r"\cfrac"), r"\frac"),
    **dict.fromkeys((r"\cdot", r"\times", r"\ast", "×", "·", "⋅", "∗"), "*"),
    **dict.fromkeys((r"\div", "÷", "∕", "⁄"), "/"),
    **dict.fromkeys((r"\leq", r"\le", r"\leqslant", "≤"), "<="),
    **dict.fromkeys((r"\geq", r"\ge", r"\geqslant", "≥"), ">="),
    **dict.fromkeys((r"\neq", r"\ne", "≠"), "!="),
    **dict.fromkeys((r"\lt",), "<"),
    **dict.fromkeys((r"\gt",), ">"),
    **dict.fromkeys((r"\degree", r"\degrees", "º"), "°"),
    **dict.fromkeys((r"\varnothing", "∅"), r"\emptyset"),
    **dict.fromkeys((r"\approx", r"\simeq", "≈"), r"\approx"),
    **dict.fromkeys(("percent", "percentage", "pct", r"\%"), "%"),
    **dict.fromkeys(("infinity", "Infinity", "∞"), r"\infty"),
    **dict.fromkeys(("and", "or", "And", "Or"), AND),
    "−": "-",
    "**": "^",
    "π": r"\pi",
    "pi": r"\pi",
    "∪": r"\cup",
    "∈": r"\in",
    "±": r"\pm",
    ";": ",",
    r"\lbrace": r"\{",
    r"\rbrace": r"\}",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\vert": "|",
    r"\fbox": r"\boxed",
    **{name[1:]: name for name in FUNCTIONS if name not in (r"\frac", r"\sinh", r"\cosh", r"\tanh")},
    **dict.fromkeys(_words(r"$ \$ \( \) \[ \] ~ \, \; \: \quad \qquad"), " "),
    **dict.fromkeys(("\\ ", "\xa0", "\u202f", "€", "£", "¥", "₹", r"\mathdollar"), " "),
    **dict.fromkeys(
        _words(r"\left \right \big \Big \bigl \bigr \Bigl \Bigr \displaystyle \textstyle \limits"), ""
    ),
}
