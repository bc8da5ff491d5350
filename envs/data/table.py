"""An `Inspection` as a table of about one screen for a person, and as plain values for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from textwrap import wrap
from typing import Any

from envs.data.figures import Checks, Inspection, Length
from envs.data.rows import FaultKind

_WIDTH = 108
_LABEL = 12
_SHOWN = 5  # rows of each fault
_BARS = 9  # step counts with a column of their own


def render(found: Inspection, *, show_all: bool = False) -> str:
    """The table.

    Args:
        found: What was found.
        show_all: Whether to list every fault; otherwise `_SHOWN` of each kind.
    """
    sections = [
        _head(found),
        _rows(found),
        _faults(found, show_all=show_all),
        _steps(found),
        _constants(found),
        _notes(found),
    ]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def to_json(found: Inspection) -> dict[str, Any]:
    """All figures as plain values; the names are those of the records."""
    plain = asdict(found)
    for fault, values in zip(found.faults, plain["faults"], strict=True):
        values["kind"] = fault.kind.value
    return plain


def _head(found: Inspection) -> Iterator[str]:
    settings = {name: value for name, value in found.settings.items() if value not in (None, "")}
    shown = ", ".join(f"{name}={_plain(value)}" for name, value in settings.items())
    yield _cut(f"{found.task}  {shown}" if shown else found.task)


def _rows(found: Inspection) -> Iterator[str]:
    repeated = f"{found.num_repeated:,} repeated" if found.num_repeated else "none repeated"
    for source in found.sources:
        bad = f"{source.num_refused:,} with faults" if source.num_refused else "no faults"
        yield _line("rows", f"{source.num_rows:>9,}  {bad:<18} {source.name}")
    total = sum(found.num_problems.values())
    if total:
        splits = ", ".join(f"{split} {size:,}" for split, size in found.num_problems.items())
        yield _line("problems", f"{total:>9,}  {repeated:<18} {splits}")


def _faults(found: Inspection, *, show_all: bool) -> Iterator[str]:
    counts = Counter(fault.kind for fault in found.faults)
    order = list(FaultKind)
    indent = " " * (_LABEL + 11)
    by_kind = sorted(found.faults, key=lambda fault: order.index(fault.kind))
    for kind, group in groupby(by_kind, lambda fault: fault.kind):
        yield _line("fault", f"{counts[kind]:>9,}  {kind}")
        listed = [f"{indent}{_without_source(found, str(fault))}" for fault in group]
        yield from listed if show_all else map(_cut, listed[:_SHOWN])
        if not show_all and len(listed) > _SHOWN:
            yield f"{indent}… {len(listed) - _SHOWN:,} more (--all lists them)"


def _without_source(found: Inspection, where: str) -> str:
    """A place without the name of the source if there is only one, else without its folder."""
    source = next((one.name for one in found.sources if where.startswith(f"{one.name} ")), "")
    if not source:
        return where
    rest = where.removeprefix(f"{source} ").removeprefix(f"{source}: ")
    return rest if len(found.sources) == 1 else f"{source.rpartition('/')[2]} {rest}"


def _steps(found: Inspection) -> Iterator[str]:
    if not found.lengths:
        return
    most = max(steps for length in found.lengths for steps in length.counts)
    columns = list(range(min(min(length.counts) for length in found.lengths), most + 1))
    shown, rest = columns[:_BARS], columns[_BARS:]
    head = "".join(f"{steps:>7}" for steps in shown) + (f"{f'{rest[0]}+':>7}" if rest else "")
    yield _line("steps", f"{'traces':>9} {'mean':>6} {head}   saved")
    yield from (_length(length, shown, rest) for length in found.lengths)
    if found.checks is not None:
        yield ""
        yield from _checks(found.checks)
    if found.worst:
        checked = found.checks is not None
        yield ""
        head = f"{'steps':>6} {'invalid':>8}  first invalid step" if checked else f"{'steps':>6}  question"
        yield _line("worst" if checked else "longest", head)
        for one in found.worst:
            invalid = "" if one.num_invalid is None else f"{one.num_invalid:>8}"
            where = _without_source(found, one.where)
            yield _cut(_line(where, f"{one.num_steps:>6} {invalid}  {one.shown}"))


def _length(length: Length, shown: Sequence[int], rest: Sequence[int]) -> str:
    cells = [length.counts.get(steps, 0) for steps in shown]
    if rest:
        cells.append(sum(length.counts.get(steps, 0) for steps in rest))
    counts = "".join(f"{count:>7,}" if count else f"{'·':>7}" for count in cells)
    saved = "" if length.saved_frac is None else f"  {length.saved_frac:>6.1%}"
    return _line(length.kind, f"{length.num_traces:>9,} {length.mean:>6.2f} {counts}{saved}")


def _checks(checks: Checks) -> Iterator[str]:
    num_invalid = sum(checks.reasons.values())
    unchecked = {"not checked": checks.num_unchecked} if checks.num_unchecked else {}
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in {**checks.reasons, **unchecked}.items())
    valid = checks.num_steps - num_invalid - checks.num_unchecked
    share = _percent(valid, checks.num_steps)
    yield from _share("verified", share, f"of {checks.num_steps:,} steps", reasons)
    others = {
        "with an invalid step": checks.num_traces
        - checks.num_verified
        - checks.num_unfinished
        - checks.num_without,
        "that do not reach the answer": checks.num_unfinished,
        "without a step": checks.num_without,
    }
    missing = ", ".join(f"{count:,} {what}" for what, count in others.items() if count)
    share = _percent(checks.num_verified, checks.num_traces)
    yield from _share("", share, f"of {checks.num_traces:,} full traces", missing)


def _share(label: str, share: str, of: str, others: str) -> list[str]:
    text = f"{of} ({others})" if others else of
    indent = " " * (_LABEL + 11)
    return wrap(text, _WIDTH, initial_indent=_line(label, f"{share:>9}  "), subsequent_indent=indent)


def _constants(found: Inspection) -> Iterator[str]:
    if found.constants:
        shown = "   ".join(f"{_short(one.answer)} {one.right_frac:.1%}" for one in found.constants)
        yield _cut(_line("constants", f"one answer throughout earns   {shown}"))


def _notes(found: Inspection) -> Iterator[str]:
    for note in found.notes:
        yield from wrap(
            note,
            _WIDTH,
            initial_indent=_line("note", ""),
            subsequent_indent=" " * _LABEL,
            break_on_hyphens=False,
        )


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return f"'{plain[:20]}…'" if len(plain) > 20 else f"'{plain}'"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(one)}" for key, one in value.items()) + "}"
    return str(value)
