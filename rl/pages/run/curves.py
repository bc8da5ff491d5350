"""The report's section on training: small panels of what was logged, update by update.

In: the rows of `metrics.jsonl`. Out: HTML with one panel a group of metrics (`rl/grpo/` says what they
mean). A metric that was not logged is left out; a panel that is 0 throughout is named
instead of drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from rl.pages.html import dot, visible
from rl.pages.run.plots import Curve, curves
from rl.pages.style import stage_colour
from rl.pages.svg import LINE_STYLES
from rl.runs.read import RunRecord
from rl.runs.record import Stage, UpdateRow


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """A panel of the training section: which metrics, under which title.

    Attributes:
        title: Shown above.
        unit: Label of the y axis; "%" multiplies by 100.
        lines: Metric and its name in the legend.
        from_zero: Start the y axis at 0.
        logarithmic: Logarithmic y axis.
        absent: What a row without the metric stands for.
    """

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    from_zero: bool = False
    logarithmic: bool = False
    absent: float = nan


def _grpo_panels(rows: Sequence[UpdateRow]) -> list[_Panel]:
    names = {name for row in rows for name in row.metrics}
    parts = sorted(n for n in names if n.startswith("reward/") and n != "reward/group_std")
    causes = sorted(n for n in names if n.startswith("groups/all_"))
    rare = [
        name
        for name in ("refused", "timeout", "crash")
        if any(row.metrics.get(f"outcome/{name}") for row in rows)
    ]
    return [
        _Panel(title="Reward", unit="reward", lines=(("reward", "mean of all completions"),)),
        *(
            _Panel(
                title=f"Reward part: {part.removeprefix('reward/')}", unit="reward", lines=((part, "weighted"),)
            )
            for part in parts
        ),
        _Panel(
            title="Correct",
            unit="%",
            lines=(("accuracy", "answer right"), ("outcome/verified", "and verified")),
        ),
        _Panel(title="Steps per correct answer", unit="steps", lines=(("steps_per_correct", "correct only"),)),
        _Panel(title="Steps saved", unit="%", lines=(("steps_saved", "against full traces, correct only"),)),
        _Panel(
            title="Backtracks",
            unit="per completion",
            lines=(
                ("backtracks", "all"),
                ("backtracks/real", "real"),
                ("backtracks/fake", "fake"),
                ("backtracks/needless", "needless"),
            ),
            from_zero=True,
        ),
        _Panel(
            title="Invalid and wasted steps",
            unit="per completion",
            lines=(("steps/invalid", "invalid"), ("steps/wasted", "undone later")),
            from_zero=True,
        ),
        _Panel(
            title="Failures",
            unit="%",
            lines=tuple((f"outcome/{name}", name) for name in ("wrong", "malformed", "truncated", *rare)),
            from_zero=True,
        ),
        _Panel(
            title="Useful groups",
            unit="%",
            lines=(("groups/useful_frac", "of those sampled"), ("groups/filled_frac", "of those wanted")),
            from_zero=True,
        ),
        _Panel(
            title="Groups without a signal, by cause",
            unit="%",
            lines=tuple((cause, cause.removeprefix("groups/").replace("_", " ")) for cause in causes),
            from_zero=True,
            absent=0.0,
        ),
        _Panel(
            title="Spread of reward in a group",
            unit="reward",
            lines=(("reward/group_std", "std"),),
            from_zero=True,
        ),
        _Panel(
            title="Length",
            unit="tokens",
            lines=(("tokens/mean", "mean"), ("tokens/max", "longest")),
            from_zero=True,
        ),
        _Panel(title="Entropy", unit="nats", lines=(("entropy", "per token"),), from_zero=True),
        _Panel(
            title="Log-probability, sampler − learner",
            unit="nats, log scale",
            lines=(("logprob_diff/max", "largest"), ("logprob_diff/mean", "mean")),
            logarithmic=True,
        ),
        _Panel(title="Gradient norm", unit="norm", lines=(("grad_norm", "before clipping"),), from_zero=True),
        _Panel(
            title="Time per update",
            unit="seconds, log scale",
            lines=tuple(
                (f"seconds/{name}", name)
                for name in ("total", "rollout", "wait", "update", "score", "prepare", "publish")
            ),
            logarithmic=True,
        ),
        _Panel(
            title="Sampling speed", unit="tokens/s", lines=(("tokens_per_s", "all engines"),), from_zero=True
        ),
    ]


_WARM_PANELS = [
    _Panel(title="Loss", unit="nats per token", lines=(("loss", "loss"),), from_zero=True),
    _Panel(title="Right next token", unit="%", lines=(("mean_token_accuracy", "teacher-forced"),)),
    _Panel(title="Entropy", unit="nats", lines=(("entropy", "per token"),), from_zero=True),
    _Panel(title="Gradient norm", unit="norm", lines=(("grad_norm", "before clipping"),), from_zero=True),
]


def training(run: RunRecord) -> str:
    """Curves of every trained stage, the last one first."""
    parts = []
    for stage in reversed(run.metrics):
        rows = run.metrics[stage]
        window = 2 * (len(rows) // 40) + 1
        panels = _grpo_panels(rows) if stage is Stage.GRPO else _WARM_PANELS
        drawn, zero = [], []
        for number, panel in enumerate(panels):
            lines = _lines(panel, rows)
            if any(any(value for value in line.values if isfinite(value)) for _, line in lines):
                drawn.append(_figure(panel, lines, rows, window, f"{stage_colour(stage)}{number}"))
            elif lines:
                zero.append(panel.title.lower())
        said = "Of sampled completions, at the training temperature. " if stage is Stage.GRPO else ""
        said += f"Faint: raw; strong: mean over {window} updates. " if window > 1 else ""
        said += f"Zero in every update: {', '.join(zero)}." if zero else ""
        num = f"{len(rows):,} update{'s' * (len(rows) != 1)}"
        parts.append(
            f'<h3>{dot(stage)}{visible(stage.label)}: {num}</h3><p class="note">{visible(said)}</p>'
            f'<div class="panels">{"".join(drawn)}</div>'
        )
    return "".join(parts) or "<p>No update has been logged yet.</p>"


def _lines(panel: _Panel, rows: list[UpdateRow]) -> list[tuple[str, Curve]]:
    scale = 100.0 if panel.unit == "%" else 1.0
    lines: list[tuple[str, Curve]] = []
    for key, text in panel.lines:
        values = [scale * _finite(row.metrics.get(key), panel.absent) for row in rows]
        known = [value for value in values if isfinite(value)]
        if not known:
            continue
        place = len(lines)
        curve = Curve(values=values, colour=f"line{1 + place % 6}", style=LINE_STYLES[place % len(LINE_STYLES)])
        lines.append((text if any(known) else f"{text} (always 0)", curve))
    return lines


def _figure(
    panel: _Panel, lines: list[tuple[str, Curve]], rows: list[UpdateRow], window: int, name: str
) -> str:
    svg = curves(
        [row.update for row in rows],
        [line for _, line in lines],
        unit=panel.unit,
        from_zero=panel.from_zero,
        logarithmic=panel.logarithmic,
        window=window,
        name=name,
        alt=f"{visible(panel.title)} over updates",
    )
    legend = "".join(
        f'<li><i style="border-top-style:{line.style};border-color:var(--{line.colour})"></i>'
        f"{visible(text)}</li>"
        for text, line in lines
    )
    return (
        f'<figure><figcaption>{visible(panel.title)}<ul class="legend">{legend}</ul></figcaption>{svg}</figure>'
    )


def _finite(value: float | None, absent: float) -> float:
    return value if value is not None and isfinite(value) else absent
