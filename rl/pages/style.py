"""The colours of the pages, in a light and a dark set, and their style sheet (`report.css`).

Plots and pages share the colours by name. A plot is drawn in placeholder colours (`stand_in`) that become the
CSS variables of the page, so that one SVG fits both sets. The hues are close to the colour-blind-safe ones of
Okabe and Ito, lighter in the dark set. Every difference in colour is also one of mark, line style or word.
"""

from __future__ import annotations

from pathlib import Path

from rl.runs.record import Stage

_FILE = Path(__file__).parent / "report.css"

COLOURS = {
    # name: (light, dark)
    "paper": ("#fcfcfa", "#15181b"),
    "card": ("#ffffff", "#1c2024"),
    "ink": ("#1a1f24", "#e6e9ec"),
    "muted": ("#5a6570", "#9ba6b1"),
    "rule": ("#dde2e6", "#30373e"),
    "base": ("#6b7580", "#a3adb8"),
    "warm": ("#c25500", "#f19a52"),
    "key_steps": ("#a8477f", "#e08fc0"),
    "grpo": ("#0068a8", "#62b8f2"),
    "wrong": ("#c9ced3", "#4a535c"),
    "good": ("#00704f", "#3fc08f"),
    "bad": ("#b3261e", "#ff8a80"),
    "line1": ("#0068a8", "#62b8f2"),
    "line2": ("#c25500", "#f19a52"),
    "line3": ("#00805c", "#3fc08f"),
    "line4": ("#a8477f", "#e08fc0"),
    "line5": ("#6b7580", "#a3adb8"),
    "line6": ("#7a6200", "#d8bd3c"),
}


def stand_in(name: str) -> str:
    """The placeholder that a plot is drawn in where the page shows `var(--name)`."""
    number = 1 + list(COLOURS).index(name)
    return f"#{number:02x}{number:02x}{number:02x}"


def stage_colour(stage: Stage) -> str:
    """Name of a stage's colour."""
    return stage.value


def style_sheet() -> str:
    """The CSS of a page, in ASCII; `class="grpo"` sets `--colour` to the colour `grpo`, and so on."""
    light = "".join(f"--{name}:{colours[0]};" for name, colours in COLOURS.items())
    dark = "".join(f"--{name}:{colours[1]};" for name, colours in COLOURS.items())
    classes = "".join(f".{name}{{--colour:var(--{name})}}" for name in COLOURS)
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media print{{:root{{{light}}}}}\n{classes}\n{_FILE.read_text(encoding='ascii')}"
    )
