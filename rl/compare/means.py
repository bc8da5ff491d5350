"""Means over seeds: of every figure of a result, and of a share with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from statistics import fmean
from typing import Any, TypeVar

from rl.runs.record import BucketResult, LengthResult, SplitResult
from rl.stats.intervals import share_interval

_Result = TypeVar("_Result", SplitResult, BucketResult, LengthResult)
_PARTS: dict[str, Any] = {"buckets": BucketResult, "by_length": LengthResult}


def mean_result(results: Sequence[SplitResult]) -> SplitResult:
    """The mean of every figure; of a figure that some seeds lack, over the seeds that have it.

    Counts are rounded. A seed without an error of some kind, or without an empty thought,
    counts as 0 there.
    """
    return _mean(SplitResult, results)


def mean_share(
    results: Sequence[SplitResult], share: Callable[[SplitResult], float | None]
) -> tuple[float, float, float]:
    """The mean of a share of the problems and its 95 % interval, over seeds evaluated on the same problems.

    Seeds that lack the share are left out; at least one must have it.
    """
    known = [(value, one.num_problems) for one in results if (value := share(one)) is not None]
    return share_interval([(value * num, num) for value, num in known])


def _mean(kind: type[_Result], results: Sequence[_Result]) -> _Result:
    return kind(
        **{
            field.name: _figure(field.name, [getattr(one, field.name) for one in results])
            for field in fields(kind)
        }
    )


def _figure(name: str, values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if name == "empty_by_difficulty":
        known = [value or {} for value in values]
    if name in _PARTS:
        return {key: _mean(_PARTS[name], _having(known, key)) for key in _keys(known)}
    if name == "greedy":
        return all(known)
    if name in ("errors", "empty_by_difficulty"):
        return {error: fmean(one.get(error, 0.0) for one in known) for error in _keys(known)}
    if name == "pass_at_k":
        return {k: fmean(_having(known, k)) for k in _keys(known)}
    mean = fmean(known)
    return round(mean) if isinstance(known[0], int) else mean


def _keys(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for one in found for key in one))


def _having(found: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [one[key] for one in found if key in one]
