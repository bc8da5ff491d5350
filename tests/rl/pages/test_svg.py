"""Plots are drawn wherever matplotlib is installed."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from rl.pages.svg import RC, know_own_fonts, to_svg


def test_a_font_list_without_matplotlibs_own_fonts_is_completed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    complete = len(fontManager.ttflist)
    know_own_fonts()
    assert len(fontManager.ttflist) == complete  # `svg.py` has done it

    monkeypatch.setattr(fontManager, "ttflist", [])
    fontManager._findfont_cached.cache_clear()
    know_own_fonts()
    with mpl.rc_context(RC):
        figure = Figure(figsize=(2.0, 2.0))
        figure.text(0.5, 0.5, "plain")
        figure.text(0.2, 0.2, "$2^{4711}$")  # as on a logarithmic axis: looks up all fonts of formulas
        plot = to_svg(figure, "name", "alt")
    assert "plain" in plot and "4711" in plot
    assert caplog.messages == []
