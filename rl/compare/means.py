"""The mean of several results, one a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import fmean
from typing import Any, TypeVar

from rl.runs.record import BucketResult, SplitResult

_Result = TypeVar("_Result", SplitResult, BucketResult)


def mean_result(results: Sequence[SplitResult]) -> SplitResult:
    """The mean of every figure; of a figure that some seeds lack, over the seeds that have it.

    Counts are rounded. A seed without an error of some kind counts as 0 for that kind.
    """
    return _mean(SplitResult, results)


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
    if name == "buckets":
        return {bucket: _mean(BucketResult, _having(known, bucket)) for bucket in _keys(known)}
    if name == "errors":
        return {error: fmean(one.get(error, 0.0) for one in known) for error in _keys(known)}
    if name == "pass_at_k":
        return {k: fmean(_having(known, k)) for k in _keys(known)}
    mean = fmean(known)
    return round(mean) if isinstance(known[0], int) else mean


def _keys(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for one in found for key in one))


def _having(found: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [one[key] for one in found if key in one]
