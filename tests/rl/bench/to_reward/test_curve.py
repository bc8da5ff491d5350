"""When a curve reaches a target, worked by hand; curves are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.font_manager import fontManager

from rl.bench.to_reward.curve import Duel, Point, target_reward, time_to
from rl.bench.to_reward.report import plot


def curve(*rewards: float, seconds: float) -> tuple[Point, ...]:
    """Measured every 10 updates, which take so many seconds."""
    return tuple(Point(update=10 * i, seconds=seconds * i, reward=r) for i, r in enumerate(rewards))


def test_a_target_between_two_points_is_on_the_line_between_them() -> None:
    found = time_to(curve(0.2, 0.6, 0.9, seconds=8.0), 0.5)  # three quarters of the way from 0.2 to 0.6
    assert found is not None
    assert (found.update, found.seconds, found.reward) == (pytest.approx(7.5), pytest.approx(6.0), 0.5)


def test_the_first_crossing_counts() -> None:
    found = time_to(curve(0.2, 0.6, 0.4, 0.8, seconds=4.0), 0.5)
    assert found is not None and found.seconds == pytest.approx(3.0)


def test_a_point_on_the_target_reaches_it() -> None:
    points = curve(0.2, 0.6, seconds=4.0)
    assert time_to(points, 0.6) == points[1]
    assert time_to(points, 0.2) == points[0]


def test_a_curve_below_the_target_does_not_reach_it() -> None:
    assert time_to(curve(0.2, 0.6, 0.59, seconds=4.0), 0.61) is None


def test_the_target_is_a_share_of_the_gain_up_to_the_last_three_points() -> None:
    points = curve(0.2, 0.9, 0.5, 0.6, 0.7, seconds=1.0)  # ends at 0.6
    assert target_reward(points, 0.75) == pytest.approx(0.5)


def test_without_a_gain_there_is_no_target() -> None:
    points = curve(0.5, 0.6, 0.4, 0.4, 0.4, seconds=1.0)
    assert target_reward(points, 0.8) is None
    duel = Duel(task="t", seed=0, target=None, stride=points, trl=())
    assert duel.ratio is duel.stride_to is duel.trl_to is None and not duel.is_bound


def test_the_ratio_is_of_the_seconds_to_the_target() -> None:
    duel = Duel(
        task="t", seed=0, target=0.5, stride=curve(0.2, 0.8, seconds=2.0), trl=curve(0.2, 0.4, 0.6, seconds=8.0)
    )
    assert duel.ratio == pytest.approx(1.0 / 12.0)  # half of 2 s; 8 s and half of the next 8
    assert not duel.is_bound


def test_a_rival_that_does_not_arrive_bounds_the_ratio() -> None:
    duel = Duel(
        task="t", seed=0, target=0.5, stride=curve(0.2, 0.8, seconds=2.0), trl=curve(0.2, 0.4, seconds=8.0)
    )
    assert duel.trl_to is None and duel.is_bound
    assert duel.ratio == pytest.approx(1.0 / 8.0)  # at most: it would have taken more than its 8 s


def test_the_plot_needs_no_fonts_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fontManager, "ttflist", [])
    fontManager._findfont_cached.cache_clear()
    plot([Duel(task="t", seed=0, target=None, stride=curve(0.2, 0.8, seconds=2.0), trl=())], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size and caplog.messages == []
