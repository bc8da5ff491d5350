"""A comparison as text for a terminal.

In: a `Study`. Out: an aligned table, then failures and splits that are not compared.
"""

from __future__ import annotations

from rl.compare.flags import by_kind, where
from rl.compare.results import Figure
from rl.compare.study import Study
from rl.pages.comparison.legend import entry_name
from rl.pages.comparison.searches import searches_text
from rl.pages.decoding import decoding
from rl.pages.steps import COUNTED
from rl.pages.text import optional_shares, other_forms, text_table
from rl.stats.format import table_number

_STRICT: tuple[str, Figure, int] = ("strict form", lambda result: result.strict_accuracy, 3)
_COLUMNS: tuple[tuple[str, Figure, int], ...] = (
    ("steps/correct", lambda result: result.steps_per_correct, 2),
    ("tokens", lambda result: result.tokens, 1),
    ("backtracks", lambda result: result.backtracks, 2),
    ("real", lambda result: result.real_backtracks, 2),
    ("fake", lambda result: result.fake_backtracks, 2),
    ("needless", lambda result: result.needless_backtracks, 2),
)


def comparison_text(study: Study) -> str:
    """Means over seeds with the interval of the accuracy, then failures by name and splits not compared."""
    means = [entry.mean() for entry in study.entries]
    shares = [(name.lower(), figure, 3) for name, figure in optional_shares(means)]
    columns = [*([_STRICT] if other_forms(means) else []), *_COLUMNS[:1], *shares, *_COLUMNS[1:]]
    head = ["split", "case", "seeds", "accuracy", "95 % interval", *(name for name, *_ in columns)]
    rows = []
    for entry, mean in zip(study.entries, means, strict=True):
        accuracy, low, high = entry.share_interval(lambda result: result.accuracy)
        cells = [table_number(figure(mean), digits) for _, figure, digits in columns]
        interval = f"{low:.3f}-{high:.3f}"
        name = " ".join(entry_name(study, entry))
        how = "" if mean.greedy else " sampled"
        rows.append([entry.split, name, str(len(entry.results)), f"{accuracy:.3f}{how}", interval, *cells])
    lines = [text_table(head, rows, num_left=2)]
    lines += [] if all(one.greedy for one in means) else [f"{decoding(means)}."]
    lines += ["", searched, ""] if (searched := searches_text(study)) else []
    for case in study.cases:
        found = by_kind(study.flags[case.name])
        lines += [f"flag: {case.name}: {kind.value}: {where(splits)}" for kind, splits in found.items()]
    lines += [f"warning: {', '.join(names)}: {warning}" for warning, names in study.warnings().items()]
    lines += [note] if (note := study.on_shared_problems()) else []
    lines += [f"not compared on {split}: {why}" for split, why in study.left_out.items()]
    lines += [] if study.steps_checked else [f"{COUNTED}."]
    return "\n".join(lines)
