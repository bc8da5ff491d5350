"""Writes the table of docs/key_steps.md: how often edit distance finds the key step that the task knows.

Each pair is a task's own solution of a train problem and the same with one mistake, as the stage makes them
with `key_steps.environment_frac: 1`, in the tokens of the model made from scratch. Intervals are bootstraps of
pairs.

python docs/key_steps_table.py [NUM_PROBLEMS]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema.key_steps import KeyStepsConfig
from envs import make_env
from rl.key_steps.agreement import Agreement, agreement_of, both_keys
from rl.key_steps.duals import make_duals
from rl.models.tiny import make_tokenizer
from rollout.encoder import make_encoder

PAGE = Path(__file__).parent / "key_steps.md"
TASKS: dict[str, dict[str, Any]] = {
    "addition": {},
    "directional": {},
    "algebra": {},
    "graph_search": {"grammar": "breadth_first"},
    "countdown": {},
}
FIGURES = (
    *("wrong: recall of key lines", "precision", "right: recall of key lines", "precision"),
    *("wrong: key tokens in the key line", "key tokens of all"),
)
HEAD = f"| task | mistake | pairs | {' | '.join(FIGURES)} |"
_DRAWS = 1000


def main() -> None:
    """Make the pairs of each task and mistake, and write the table."""
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = [HEAD, f"|{'---|' * (HEAD.count('|') - 1)}"]
    for task, settings in TASKS.items():
        env = make_env(task, settings)
        encoder = make_encoder(make_tokenizer(env))
        for kind in env.mistake_kinds:
            config = KeyStepsConfig(environment_frac=1.0, mistakes={kind: 1.0})
            pairs = make_duals(env, encoder, config, range(num), [], seed=0).pairs
            counts: tuple[list[Agreement], list[Agreement]] = ([], [])
            for pair in pairs:
                assert pair.key_lines is not None
                sides = zip(counts, (pair.right, pair.wrong), both_keys(pair), pair.key_lines, strict=True)
                for found, response, keys, line in sides:
                    found.append(agreement_of(response, keys, line))
            if pairs:
                rows.append(_row(task, kind, *counts))
    text = PAGE.read_text()
    PAGE.write_text(re.sub(r"(?m)^\| task \| mistake \|.*(?:\n\|.*)*", "\n".join(rows), text))


def _row(task: str, kind: str, right: Sequence[Agreement], wrong: Sequence[Agreement]) -> str:
    cells = [
        _share(wrong, lambda one: (one.hits, one.traces)),
        _share(wrong, lambda one: (one.hits, one.found_lines)),
        _share(right, lambda one: (one.hits, one.traces)),
        _share(right, lambda one: (one.hits, one.found_lines)),
        _share(wrong, lambda one: (one.hit_tokens, one.key_tokens)),
        _share(wrong, lambda one: (one.key_tokens, one.tokens)),
    ]
    return f"| `{task}` | {kind} | {len(wrong):,} | {' | '.join(cells)} |"


def _share(found: Sequence[Agreement], counts: Callable[[Agreement], tuple[int, int]]) -> str:
    """A share over all traces in percent, and its 95 % interval."""
    both = np.array([counts(one) for one in found])
    drawn = np.random.default_rng(0).integers(0, len(both), (_DRAWS, len(both)))
    part, whole = both[drawn].sum(1).T
    low, high = np.percentile(100 * part / np.maximum(1, whole), [2.5, 97.5])
    part, whole = both.sum(0)
    if not whole:
        return "–"
    return f"{100 * part / whole:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
