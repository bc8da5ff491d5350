"""Plots as SVG text that can stand inside a page.

The same bytes every time, in the page's colours (`style.py`). No text of a model gets into a plot.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from rl.pages.render import attribute
from rl.pages.style import COLOURS, stand_in

LINE_STYLES = ("solid", "dashed", "dotted")


RC: dict[Any, Any] = {
    "svg.hashsalt": "report",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": stand_in("muted"),
    "axes.labelcolor": stand_in("muted"),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "grid.color": stand_in("rule"),
    "grid.linewidth": 0.6,
    "xtick.color": stand_in("muted"),
    "ytick.color": stand_in("muted"),
    "text.color": stand_in("ink"),
    "hatch.linewidth": 0.6,
}
"""What every plot of the report is drawn with."""


def know_own_fonts() -> None:
    """Add matplotlib's own fonts to its list of fonts if they are not there.

    The list is a file in the user's cache, written once. Written while matplotlib was being installed, it has
    fonts of the system alone: every plot with a logarithmic axis then warns about 21 fonts, and without DejaVu
    on the system none can be drawn.
    """
    known = {font.fname for font in fontManager.ttflist}
    for file in sorted(Path(mpl.get_data_path(), "fonts", "ttf").glob("*.ttf")):
        if str(file) not in known:
            fontManager.addfont(file)


know_own_fonts()


def running_mean(values: Sequence[float] | np.ndarray[Any, Any], window: int) -> np.ndarray[Any, Any]:
    """Mean over the `window` values around each one, fewer at the ends; NaN values are left out.

    Example: running_mean([1, 2, 6], 3) -> [1.5, 3, 4].
    """
    raw = np.asarray(values, dtype=float)
    known = np.isfinite(raw)
    kernel = np.ones(2 * (window // 2) + 1)
    half = len(kernel) // 2
    total = np.convolve(np.pad(np.where(known, raw, 0.0), half), kernel, mode="valid")
    count = np.convolve(np.pad(known.astype(float), half), kernel, mode="valid")
    return np.where(known, total / np.maximum(count, 1.0), np.nan)


def name_y_axis(axes: Axes, text: str) -> None:
    """Write the name of the y axis above it, where it cannot run over the numbers."""
    axes.set_title(text, loc="left", fontsize=8, color=stand_in("muted"), pad=5, x=-0.0, y=1.0)


def spread(heights: Sequence[float], apart: float, top: float) -> list[float]:
    """Heights between 0 and `top`, moved as little as it takes for none to be nearer to another than `apart`.

    Example: spread([10, 11, 40], 9, 50) -> [6, 15, 40]: the two that were 1 apart are moved by 4 each.
    """
    clusters: list[list[int]] = []
    middles: list[float] = []
    for place in sorted(range(len(heights)), key=lambda place: heights[place]):
        clusters.append([place])
        middles.append(heights[place])
        while len(clusters) > 1 and (
            middles[-1] - middles[-2] < apart * (len(clusters[-1]) + len(clusters[-2])) / 2
        ):
            joined = clusters[-2] + clusters[-1]
            room = apart * (len(joined) - 1) / 2
            middle = sum(heights[other] for other in joined) / len(joined)
            clusters[-2:] = [joined]
            middles[-2:] = [min(max(middle, room), top - room)]
    moved = [0.0] * len(heights)
    for cluster, middle in zip(clusters, middles, strict=True):
        for rank, place in enumerate(cluster):
            moved[place] = middle + apart * (rank - (len(cluster) - 1) / 2)
    return moved


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """A figure as `<svg>` text for the page.

    Args:
        figure: The figure.
        name: Prefix of its ids, unique on the page.
        alt: A description of the plot, for screen readers.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    body = text[text.index(">") + 1 :]
    width, height = (float(part) * 72 for part in figure.get_size_inches())
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), body)  # not the labels
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    for colour in COLOURS:
        body = body.replace(stand_in(colour), f"var(--{colour})")
    body = re.sub(r"\n\s*", "\n", body)
    head = Markup('<svg viewBox="0 0 {:.2f} {:.2f}" role="img" aria-label="{}">')
    return head.format(width, height, attribute(alt)) + Markup(body.strip())
