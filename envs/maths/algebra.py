r"""Formulas as trees.

In: tokens from `envs.maths.grammar`. Out: a `Tree`, nested tuples that are also JSON:

    ("n", above, below)   a number            ("c", name)   pi, e or i
    ("v", name)           a letter, also with an index or a prime
    ("+", a, b, …)  ("*", a, b, …)  ("/", a, b)  ("^", a, b)  ("neg", a)  ("binom", n, k)  ("rel", sign, a, b)
    ("root", a, n)        the n-th root       ("f", name, a)   a known function, such as sin
    ("log", base, a)      base None if it is not stated
    ("call", name, a, …)  an unknown function f, g or h

The grammar is LaTeX and plain text. Products may be written side by side, and bind as tightly as ``*`` and
``/``. A function without brackets takes the product that follows. Letter case is kept: ``R`` and ``r`` are two
letters. Takes time linear in the tokens. Nothing is computed here but `rational`, within a bound on all bits it
makes.
"""

from __future__ import annotations

from fractions import Fraction

from envs.maths.numerals import Numerals, Tree, Unreadable
from envs.maths.vocabulary import DECORATIONS, FUNCTIONS, LETTERS, NOT_LETTERS

MAX_TOKENS = 300
MAX_LEVELS = 60
_INVERSES = {
    "sin": "arcsin",
    "cos": "arccos",
    "tan": "arctan",
    "cot": "arccot",
    "sinh": "arcsinh",
    "cosh": "arccosh",
    "tanh": "arctanh",
}
_CLOSES = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil", "\\{": "\\}"}
_ENDS = frozenset((")", "]", "}", "\\}", "\\rfloor", "\\rceil", ",", "=", "<", ">", "<=", ">=", "!="))


def read_tree(tokens: list[str]) -> Tree | None:
    """The formula, or None if the tokens are none or exceed a limit."""
    if not tokens or len(tokens) > MAX_TOKENS:
        return None
    parser = _Parser(tokens)
    try:
        tree = parser.sum()
        parser.skip()
    except Unreadable:
        return None
    return tree if parser.at == len(tokens) else None


class _Parser(Numerals):
    def __init__(self, tokens: list[str]) -> None:
        super().__init__(tokens)
        self.level = 0
        self.bars = 0

    # ---- sums and products ----

    def sum(self) -> Tree:
        self.level += 1
        if self.level > MAX_LEVELS:
            raise Unreadable("too deep")
        terms = [self.term()]
        while (sign := self.peek()) in ("+", "-"):
            self.at += 1
            term = self.term()
            terms.append(("neg", term) if sign == "-" else term)
        self.level -= 1
        return terms[0] if len(terms) == 1 else ("+", *terms)

    def term(self) -> Tree:
        minuses = self.sign()
        product: list[Tree] = [self.factor()]
        while True:
            token = self.peek()
            if token in ("*", "/"):
                self.at += 1
                inner = self.sign()
                factor = _negated(self.factor(), inner)
                if token == "/":
                    product = [("/", _product(product), factor)]
                else:
                    product.append(factor)
            elif self.starts_factor(token):
                before = product[-1]
                if token[0].isdecimal() or token == ".":
                    raise Unreadable("a number behind a factor")
                factor = self.factor()
                mixed = _mixed(before, factor) if token == "\\frac" else None
                if mixed is not None:
                    product[-1] = mixed
                else:
                    product.append(factor)
            else:
                break
        return _negated(_product(product), minuses)

    def sign(self) -> int:
        """The number of minus signs that come next."""
        minuses = count = 0
        while (token := self.peek()) in ("+", "-"):
            minuses += token == "-"
            self.at += 1
            count += 1
            if count > 2:
                raise Unreadable("signs")
        return minuses

    def starts_factor(self, token: str) -> bool:
        if not token or token in _ENDS or token in "+-*/^_!%°:;.'\"&$@#~`?":
            return token == "."
        if token == "|":
            return not self.bars
        return True

    # ---- powers and functions ----

    def factor(self) -> Tree:
        base = self.postfixed(self.atom())
        if self.peek() == "^":
            self.at += 1
            exponent = self.group()
            base = self.postfixed(("^", base, exponent))
            if self.peek() == "^":
                raise Unreadable("two exponents")
        return base

    def postfixed(self, tree: Tree) -> Tree:
        while (token := self.peek()) in ("!", "%", "°"):
            self.at += 1
            if token == "!":
                tree = ("f", "factorial", tree)
            elif token == "%":
                tree = ("/", tree, ("n", 100, 1))
            else:
                tree = ("/", ("*", tree, ("c", "pi")), ("n", 180, 1))
        return tree

    def group(self) -> Tree:
        token = self.peek()
        closing = _CLOSES.get(token)
        if closing is None or token in ("\\lfloor", "\\lceil", "\\{"):
            raise Unreadable("a bracket is missing")
        self.at += 1
        bars, self.bars = self.bars, 0
        tree = self.sum()
        self.bars = bars
        self.take(closing)
        return tree

    def atom(self) -> Tree:
        token = self.peek()
        if not token:
            raise Unreadable("a value is missing")
        if token[0].isdecimal() or token == ".":
            return self.number()
        if token in ("(", "[", "{"):
            return self.group()
        if token in ("\\lfloor", "\\lceil"):
            self.at += 1
            tree = self.sum()
            self.take(_CLOSES[token])
            return ("f", "floor" if token == "\\lfloor" else "ceil", tree)
        if token == "|":
            self.at += 1
            self.bars += 1
            tree = self.sum()
            self.take("|")
            self.bars -= 1
            return ("f", "abs", tree)
        self.at += 1
        if token == "\\frac":
            if (derivative := _derivative(self.tokens[self.at : self.at + 6])) is not None:
                self.at += 6
                return derivative
            above = self.group()
            return ("/", above, self.group())
        if token == "\\sqrt":
            index: Tree = ("n", 2, 1)
            if self.peek() == "[":
                index = self.group()
            return ("root", self.group(), index)
        if token == "\\binom":
            above = self.group()
            return ("binom", above, self.group())
        if token in FUNCTIONS:
            return self.function(token[1:])
        if token in DECORATIONS:
            return self.decorated(token)
        if token == "\\pi":
            return ("c", "pi")
        return self.letters(token)

    def function(self, name: str) -> Tree:
        base: Tree | None = None
        power: Tree | None = None
        for _ in range(2):
            if self.peek() == "_" and name == "log" and base is None:
                self.at += 1
                base = self.group() if self.peek() in ("{", "(") else self.single()
            elif self.peek() == "^" and power is None:
                self.at += 1
                power = self.group()
        if power == ("neg", ("n", 1, 1)) and name in _INVERSES:
            name, power = _INVERSES[name], None
        argument = self.argument()
        if name == "log":
            tree: Tree = ("log", base, argument)
        elif name == "lg":
            tree = ("log", ("n", 10, 1), argument)
        elif name == "exp":
            tree = ("^", ("c", "e"), argument)
        else:
            tree = ("f", name, argument)
        return tree if power is None else ("^", tree, power)

    def single(self) -> Tree:
        token = self.peek()
        self.at += 1
        if token.isdecimal():
            return ("n", int(token), 1)
        if not token:
            raise Unreadable("a base is missing")
        return self.letters(token)

    def argument(self) -> Tree:
        if self.peek() in ("(", "{", "["):
            return self.group()
        if self.peek() == "|":
            return self.atom()
        self.level += 1
        if self.level > MAX_LEVELS:
            raise Unreadable("too deep")
        minuses = self.sign()
        product = [self.factor()]
        while self.starts_factor(token := self.peek()) and token not in FUNCTIONS and token != "|":
            if token[0].isdecimal() or token == ".":
                raise Unreadable("a number behind a factor")
            product.append(self.factor())
        self.level -= 1
        return _negated(_product(product), minuses)

    def decorated(self, token: str) -> Tree:
        start = self.at
        if self.peek() == "{":
            self.group_of_letters()
        else:
            self.at += 1
        name = token + "".join(part for part in self.tokens[start : self.at] if part != " ")
        return ("v", name)

    def group_of_letters(self) -> None:
        for length in range(1, 8):
            if self.tokens[self.at + length : self.at + length + 1] == ["}"]:
                inside = self.tokens[self.at + 1 : self.at + length]
                if any(part in _CLOSES or part in "+-*/^" for part in inside):
                    raise Unreadable("a decorated formula")
                self.at += length + 1
                return
        raise Unreadable("a decorated formula")

    def letters(self, token: str) -> Tree:
        """A letter with its index and prime, or a run of letters, which is a product."""
        run = token[1:] if token[0] == "'" and len(token) == 2 else token
        if token in LETTERS:
            return self.indexed(token)
        if not (run.isascii() and run.isalpha()) or len(run) > 4 or run in NOT_LETTERS:
            raise Unreadable(token)
        product = [_letter(letter) for letter in run[:-1]]
        product.append(self.indexed(run[-1]))
        return _product(product)

    def indexed(self, name: str) -> Tree:
        tokens = self.tokens
        bare = name
        if tokens[self.at : self.at + 1] == ["_"]:
            self.at += 1
            if tokens[self.at : self.at + 1] == ["{"]:
                end = next(
                    (at for at in range(self.at, min(self.at + 10, len(tokens))) if tokens[at] == "}"), 0
                )
                if not end:
                    raise Unreadable("an index")
                index = "".join(part.removeprefix("'") for part in tokens[self.at + 1 : end] if part != " ")
                self.at = end + 1
            else:
                index = self.peek().removeprefix("'")
                self.at += 1
            if not index or not index.isascii() or index in "+-*/^_()[]":
                raise Unreadable("an index")
            name += "_" + index
        while tokens[self.at : self.at + 1] == ["'"]:
            name += "'"
            self.at += 1
        if bare in ("f", "g", "h") and tokens[self.at : self.at + 1] == ["("]:
            self.at += 1
            arguments = [self.sum()]
            while self.peek() == "," and len(arguments) < 4:
                self.at += 1
                arguments.append(self.sum())
            self.take(")")
            return ("call", name, *arguments)
        return _letter(name)


def _derivative(tokens: list[str]) -> Tree | None:
    r"""``\frac{dy}{dx}``, which is no quotient of products."""
    if [len(token) for token in tokens] != [1, 2, 1, 1, 2, 1] or tokens[1][0] + tokens[4][0] != "dd":
        return None
    return ("v", f"{tokens[1]}/{tokens[4]}")


def _letter(name: str) -> Tree:
    return ("c", name) if name in ("e", "i") else ("v", name)


def _negated(tree: Tree, minuses: int) -> Tree:
    for _ in range(minuses):
        tree = ("neg", tree)
    return tree


def _product(factors: list[Tree]) -> Tree:
    return factors[0] if len(factors) == 1 else ("*", *factors)


def _mixed(whole: Tree, fraction: Tree) -> Tree | None:
    r"""``1\frac{1}{2}``; raises for ``1\frac{3}{2}``, which is neither a mixed number nor clearly a product."""
    if whole[0] != "n" or whole[2] != 1 or fraction[0] != "/":
        return None
    above, below = fraction[1], fraction[2]
    if above[0] != "n" or below[0] != "n" or above[2] != 1 or below[2] != 1:
        return None
    if not 0 < above[1] < below[1]:
        raise Unreadable("an improper fraction behind a whole number")
    value = whole[1] + Fraction(above[1], below[1])
    return ("n", value.numerator, value.denominator)


def has_letters(tree: Tree) -> bool:
    """Whether a formula has letters or unknown functions, so that it is no constant."""
    return tree[0] in ("v", "call") or any(has_letters(part) for part in tree[1:] if isinstance(part, tuple))


def letters_of(tree: Tree) -> frozenset[str]:
    """The letters and unknown functions of a formula."""
    inner = frozenset[str]().union(*(letters_of(part) for part in tree[1:] if isinstance(part, tuple)))
    return inner | {tree[1]} if tree[0] in ("v", "call") else inner
