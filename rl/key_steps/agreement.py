"""How often edit distance finds the true key steps, where the environment knows them.

In: pairs with their true key lines, and the key tokens by edit distance. Out: precision and recall, for right
and for wrong traces. A line counts as found if it has a key token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl.key_steps.duals import Dual
from rl.key_steps.edit_distance import key_tokens
from rl.key_steps.responses import Response


class Agreement(NamedTuple):
    """Counts over traces; each has one true key line.

    Attributes:
        traces: Traces.
        hits: Traces whose key line has a key token.
        found_lines: Lines with a key token.
        tokens: Tokens.
        key_tokens: Key tokens.
        hit_tokens: Key tokens in the key line.
        line_tokens: Tokens of the key line.
    """

    traces: int = 0
    hits: int = 0
    found_lines: int = 0
    tokens: int = 0
    key_tokens: int = 0
    hit_tokens: int = 0
    line_tokens: int = 0

    def plus(self, other: Agreement) -> Agreement:
        """The counts of both."""
        return Agreement(*[ours + theirs for ours, theirs in zip(self, other, strict=True)])

    def figures(self) -> dict[str, float]:
        """Shares by name; without those that would divide by 0.

        `line_precision`: of the lines with a key token, those that are the key line. `line_recall`: of the key
        lines, those with a key token. `token_precision`: of the key tokens, those in the key line.
        `token_recall`: of the tokens of key lines, those that are key tokens. `key_frac`: of all tokens, those
        that are key tokens.
        """
        shares = {
            "line_precision": (self.hits, self.found_lines),
            "line_recall": (self.hits, self.traces),
            "token_precision": (self.hit_tokens, self.key_tokens),
            "token_recall": (self.hit_tokens, self.line_tokens),
            "key_frac": (self.key_tokens, self.tokens),
        }
        return {name: part / whole for name, (part, whole) in shares.items() if whole}


def agreement_of(response: Response, keys: NDArray[np.bool_], key_line: int) -> Agreement:
    """The counts of one trace, whose key tokens by edit distance are `keys` [T]."""
    lines = np.asarray(response.lines)
    true = lines == key_line
    found = np.unique(lines[keys])
    return Agreement(
        traces=1,
        hits=int(key_line in found),
        found_lines=len(found),
        tokens=len(lines),
        key_tokens=int(keys.sum()),
        hit_tokens=int((keys & true).sum()),
        line_tokens=int(true.sum()),
    )


def agreements(pairs: Iterable[Dual]) -> tuple[Agreement, Agreement]:
    """The counts over the right and over the wrong traces of the pairs whose key lines are known."""
    right, wrong = Agreement(), Agreement()
    for pair in pairs:
        if pair.key_lines is not None:
            ours, theirs = both_keys(pair)
            right = right.plus(agreement_of(pair.right, ours, pair.key_lines[0]))
            wrong = wrong.plus(agreement_of(pair.wrong, theirs, pair.key_lines[1]))
    return right, wrong


def both_keys(pair: Dual) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The key tokens by edit distance of the right and of the wrong trace."""
    return key_tokens(pair.right.ids, pair.wrong.ids), key_tokens(pair.wrong.ids, pair.right.ids)


def describe_agreement(pairs: Sequence[Dual]) -> str:
    """One line with precision and recall of key lines; empty where none are known."""
    right, wrong = agreements(pairs)
    if not right.traces:
        return ""
    shown = []
    for name, found in (("right", right), ("wrong", wrong)):
        figures = found.figures()
        precision, recall = figures.get("line_precision", 0.0), figures["line_recall"]
        shown.append(
            f"{100 * recall:.1f} % of the key lines of {name} traces (precision {100 * precision:.1f} %)"
        )
    share = 100 * right.figures()["key_frac"]
    return f"edit distance finds {' and '.join(shown)}; {share:.1f} % of right tokens are key"
