"""Draws docs/loop.svg: who waits for whom in an update, on-policy and with one batch sampled ahead.

python docs/loop_diagram.py
"""

from __future__ import annotations

from pathlib import Path

WIDTH, LABEL, UNIT = 880, 76, 92  # pixels; a unit of time is one publish
ROW, BAR = 50, 30
_LIGHT = "--ink: #24292f; --muted: #57606a; --line: #8b949e"
_DARK = "--ink: #e6edf3; --muted: #adbac7; --line: #768390"
# By itself, as in README, it follows the reader's system; inside the site, the scheme that the site shows.
STYLE = f"""\
  svg.loop {{ {_LIGHT} }}
  @media (prefers-color-scheme: dark) {{ svg.loop {{ {_DARK} }} }}
  [data-md-color-scheme="default"] svg.loop {{ {_LIGHT} }}
  [data-md-color-scheme="slate"] svg.loop {{ {_DARK} }}
  .loop text {{ font: 14px system-ui, sans-serif; fill: var(--ink) }}
  .loop .title {{ font-weight: 600; font-size: 15px }}
  .loop .on {{ fill: #fff; font-size: 13px }}
  .loop .sample {{ fill: #2f6fab }} .loop .learn {{ fill: #a34f00 }} .loop .order {{ fill: #4d6b57 }}
  .loop .wait {{ fill: none; stroke: var(--line); stroke-dasharray: 4 4 }}
  .loop .waits {{ fill: var(--muted); font-size: 13px }}
  .loop .arrow {{ fill: none; stroke: var(--muted); stroke-width: 1.5; marker-end: url(#loop-head) }}
  .loop .head {{ fill: var(--muted) }}"""


def main() -> None:
    """Write the file."""
    panels = [on_policy(30), sampled_ahead(268)]
    Path(__file__).with_name("loop.svg").write_text(
        f'<svg class="loop" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 456" width="100%" '
        'role="img" aria-label="On-policy, actors and learner take turns. With max_staleness 1, the actors '
        'sample batch n + 1 while the learner works on batch n.">\n'
        f"<style>\n{STYLE}\n</style>\n"
        '<defs><marker id="loop-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def on_policy(top: int) -> str:
    """Actors and learner take turns."""
    parts = [title(top, "On-policy (max_staleness: 0): each waits for the other")]
    rows = lanes(top)
    parts += rows[1]
    driver, actors, learner = rows[0]
    for n in range(2):
        start = 4.15 * n
        parts += [bar(driver, start, 0.55, "order", f"ask {n}"), down(start + 0.3, driver, actors)]
        parts += [bar(actors, start + 0.4, 1.75, "sample", f"sample {n}, weights {n}")]
        parts += [down(start + 2.15, actors, learner), bar(learner, start + 2.15, 1.7, "learn", f"update {n}")]
        parts += [up(start + 3.85, learner, actors, f"weights {n + 1}")]
        parts += [wait(actors, start + 2.25, 1.5, "actors wait")]
        parts += [wait(learner, start + 0.4 - (0.1 if n else 0), 1.65, "learner waits")]
    return "\n".join(parts)


def sampled_ahead(top: int) -> str:
    """The actors sample the next batch while the learner works."""
    parts = [title(top, "Sampled ahead (max_staleness: 1): batch n + 1 is sampled while batch n is learnt")]
    rows = lanes(top)
    parts += rows[1]
    driver, actors, learner = rows[0]
    length, first = 1.9, 0.4
    for n in range(4):
        start = first + n * length
        weights = max(0, n - 1)
        parts += [bar(driver, start - 0.4, 0.55, "order", f"ask {n}"), down(start - 0.1, driver, actors)]
        parts += [bar(actors, start, length - 0.15, "sample", f"sample {n}, weights {weights}")]
        if n < 3:
            parts += [down(start + length - 0.15, actors, learner)]
            parts += [bar(learner, start + length - 0.1, length - 0.25, "learn", f"update {n}")]
            if n < 2:
                parts += [up(start + 2 * length - 0.3, learner, actors, f"weights {n + 1}")]
    parts += [wait(learner, first, length - 0.25, "learner waits once")]
    return "\n".join(parts)


def title(top: int, text: str) -> str:
    """A panel's heading."""
    return f'<text class="title" x="8" y="{top - 8}">{text}</text>'


def lanes(top: int) -> tuple[tuple[int, int, int], list[str]]:
    """The y of the three rows, and their labels."""
    ys = (top + 8, top + 8 + ROW + 14, top + 8 + 2 * (ROW + 14))
    names = ("driver", "actors", "learner")
    return ys, [f'<text x="8" y="{y + 20}">{name}</text>' for y, name in zip(ys, names, strict=True)]


def bar(y: int, start: float, length: float, kind: str, text: str) -> str:
    """Work."""
    x, width = LABEL + start * UNIT, length * UNIT
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BAR}" rx="4"/>'
        f'<text class="on" x="{x + width / 2:.0f}" y="{y + 20}" text-anchor="middle">{text}</text>'
    )


def wait(y: int, start: float, length: float, text: str) -> str:
    """Idle time."""
    x, width = LABEL + start * UNIT, length * UNIT
    return (
        f'<rect class="wait" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BAR}" rx="4"/>'
        f'<text class="waits" x="{x + width / 2:.0f}" y="{y + 20}" text-anchor="middle">{text}</text>'
    )


def down(at: float, above: int, below: int) -> str:
    """What is handed from one row to the next."""
    x = LABEL + at * UNIT
    return f'<path class="arrow" d="M{x:.0f} {above + BAR + 1}V{below - 3}"/>'


def up(at: float, below: int, above: int, text: str) -> str:
    """New weights, published."""
    x = LABEL + at * UNIT
    return (
        f'<path class="arrow" d="M{x:.0f} {below - 1}V{above + BAR + 4}"/>'
        f'<text class="waits" x="{x - 7:.0f}" y="{below - 12}" text-anchor="end">{text}</text>'
    )


if __name__ == "__main__":
    main()
