"""Places labels beside crowded points, so that labels cover neither marks nor each other.

In: the points of a plot, in units of 1/72 inch. Out: the middle of each label, as near its point as possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, hypot, pi, sin

Place = tuple[float, float]

HEIGHT = 9.0
"""Height of a label."""
CHARACTER = 5.4
"""Width of a character."""

_DISTANCES = (9.0, 13.0, 18.0, 24.0, 32.0, 42.0, 54.0)
_ANGLES = 16
_MARKER = 4.5  # half the size of a point's mark
_ON_LABEL, _ON_MARKER, _ON_BAR, _OUTSIDE = 50.0, 20.0, 1.5, 1000.0


def place_labels(
    points: Sequence[Place], texts: Sequence[str], bars: Sequence[Place], box: tuple[float, float, float, float]
) -> list[Place]:
    """Choose a place for every label.

    Args:
        points: Positions of the marks.
        texts: The text of each label.
        bars: Lines that labels should not cover, as points along them.
        box: Left, bottom, right and top of the axes; labels stay inside.

    Returns:
        The middle of each label, in the order of the points.
    """
    crowd = [sum(hypot(x - u, y - v) < 40 for u, v in points) for x, y in points]
    order = sorted(range(len(points)), key=lambda place: -crowd[place])
    chosen: dict[int, tuple[Place, float]] = {}
    for place in order:
        half = CHARACTER * len(texts[place]) / 2
        options = [
            (points[place][0] + far * cos(turn) * (1 + half / 20), points[place][1] + far * sin(turn), far)
            for far in _DISTANCES
            for turn in [2 * pi * step / _ANGLES for step in range(_ANGLES)]
        ]
        best = min(options, key=lambda at: at[2] / 4 + _cost((at[0], at[1]), half, chosen, points, bars, box))
        chosen[place] = (best[0], best[1]), half
    return [chosen[place][0] for place in range(len(points))]


def _cost(
    at: Place,
    half: float,
    labels: dict[int, tuple[Place, float]],
    points: Sequence[Place],
    bars: Sequence[Place],
    box: tuple[float, float, float, float],
) -> float:
    x, y = at
    up = HEIGHT / 2
    cost = _OUTSIDE * (x - half < box[0] or x + half > box[2] or y - up < box[1] or y + up > box[3])
    cost += _ON_LABEL * sum(
        abs(x - u) < half + other + 1 and abs(y - v) < HEIGHT for (u, v), other in labels.values()
    )
    cost += _ON_MARKER * sum(abs(x - u) < half + _MARKER and abs(y - v) < up + _MARKER for u, v in points)
    return cost + _ON_BAR * sum(abs(x - u) < half and abs(y - v) < up for u, v in bars)
