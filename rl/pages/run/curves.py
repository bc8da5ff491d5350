"""The report's section on training: small panels of the metrics over updates.

In: the rows of `metrics.jsonl`. Out: a panel for each group of metrics (`rl/grpo/metrics.py` defines them), as
data for the template. A metric that was not logged is left out; a panel that is 0 throughout is named instead
of drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from markupsafe import Markup

from rl.pages.figures import Key
from rl.pages.run.plots import Curve, curves
from rl.pages.steps import worded
from rl.pages.style import stage_colour
from rl.pages.svg import LINE_STYLES
from rl.runs.read import RunRecord
from rl.runs.record import Stage, UpdateRow

_COLOURS = 6  # line1 to line6 in `style.py`


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """The metrics of a panel and its title.

    Attributes:
        title: Shown above.
        unit: Label of the y axis; "%" multiplies by 100.
        lines: Metric and its name in the legend.
        from_zero: Start the y axis at 0.
        logarithmic: Logarithmic y axis.
        smooth: Draw the running mean on top; otherwise a mark at each value.
        absent: Value of a row without the metric.
    """

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    from_zero: bool = False
    logarithmic: bool = False
    smooth: bool = True
    absent: float = nan


def _grpo_panels(rows: Sequence[UpdateRow]) -> list[_Panel]:
    names = {name for row in rows for name in row.metrics}
    checked = "outcome/verified" in names
    parts = sorted(n for n in names if n.startswith("reward/") and n != "reward/group_std")
    causes = sorted(n for n in names if n.startswith("groups/all_"))
    rare = [
        name
        for name in ("refused", "timeout", "crash")
        if any(row.metrics.get(f"outcome/{name}") for row in rows)
    ]
    logged = dict.fromkeys(name for row in rows for name in row.metrics)
    splits = [n.removesuffix("/accuracy") for n in logged if n.startswith("eval_") and n.endswith("/accuracy")]
    parts_of_mixture = [
        n.removesuffix("/reward") for n in logged if n.startswith("part/") and n.endswith("/reward")
    ]
    strict = any(row.metrics.get("accuracy/strict_form") != row.metrics.get("accuracy") for row in rows)
    return [
        *(
            _Panel(
                title=worded(f"Evaluation: {title}", checked=checked),
                unit=unit,
                lines=tuple((f"{split}/{figure}", split.removeprefix("eval_")) for split in splits),
                smooth=False,
            )
            for title, unit, figure in (
                ("correct", "%", "accuracy"),
                ("steps per correct answer", "steps", "steps_per_correct"),
                ("merged lines", "%", "merged_lines"),
                ("skippable lines", "%", "skippable_lines"),
                ("wasted lines", "%", "wasted_lines"),
                ("length", "tokens", "tokens"),
            )
            if any(f"{split}/{figure}" in logged for split in splits)
        ),
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
            lines=(
                ("accuracy", "answer right"),
                ("outcome/verified", "and verified"),
                *((("accuracy/strict_form", "and in the closing line"),) if strict else ()),
            ),
        ),
        *(
            _Panel(
                title=worded(f"By task of the mixture: {title}", checked=checked),
                unit=unit,
                lines=tuple((f"{part}/{figure}", part.removeprefix("part/")) for part in parts_of_mixture),
            )
            for title, unit, figure in (
                ("reward", "reward", "reward"),
                ("correct", "%", "accuracy"),
                ("steps per correct answer", "steps", "steps_per_correct"),
            )
            if parts_of_mixture
        ),
        _Panel(
            title=worded("Steps per correct answer", checked=checked),
            unit="steps",
            lines=(("steps_per_correct", "correct only"),),
        ),
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
            lines=(
                ("steps/invalid", "invalid"),
                ("steps/wasted", "undone later"),
                ("wrong_turns", "wrong turns"),
            ),
            from_zero=True,
        ),
        _Panel(
            title="Wrong turns taken back",
            unit="%",
            lines=(
                ("wrong_turns/taken_back", "all"),
                ("wrong_turns/taken_back/invalid", "wrong lines"),
                ("wrong_turns/taken_back/dead_end", "ways into dead ends"),
            ),
            from_zero=True,
        ),
        _Panel(
            title="Backtracks from a dead end that led out of it",
            unit="%",
            lines=(("backtracks/straight_back", "straight back"),),
            from_zero=True,
        ),
        _Panel(
            title="Advantage of backtracks",
            unit="mean of tokens",
            lines=(("credit/needed_backtracks", "needed"), ("credit/needless_backtracks", "needless")),
        ),
        _Panel(
            title="Outcomes that are not correct",
            unit="%",
            lines=tuple((f"outcome/{name}", name) for name in ("wrong", "malformed", "truncated", *rare)),
            from_zero=True,
        ),
        _Panel(
            title="Groups whose rewards differ",
            unit="%",
            lines=(("groups/useful_frac", "of those sampled"), ("groups/filled_frac", "of those needed")),
            from_zero=True,
        ),
        _Panel(
            title="Zero-variance groups, by cause",
            unit="%",
            lines=tuple((cause, cause.removeprefix("groups/").replace("_", " ")) for cause in causes),
            from_zero=True,
            absent=0.0,
        ),
        _Panel(
            title="Spread of rewards in a group",
            unit="reward",
            lines=(("reward/group_std", "standard deviation"),),
            from_zero=True,
        ),
        _Panel(
            title="Length",
            unit="tokens",
            lines=(("tokens/mean", "mean"), ("tokens/max", "longest")),
            from_zero=True,
        ),
        *(
            _Panel(
                title="Problems skipped, prompt too long",
                unit="problems",
                lines=(("prompts/skipped", "per update"),),
                from_zero=True,
            )
            for _ in range(any(row.metrics.get("prompts/skipped") for row in rows))
        ),
        _Panel(title="Entropy", unit="nats", lines=(("entropy", "per token"),), from_zero=True),
        _Panel(
            title="Log-probability, sampler − learner",
            unit="nats, log scale",
            lines=(("logprob_diff/max", "largest"), ("logprob_diff/mean", "mean")),
            logarithmic=True,
        ),
        _Panel(
            title="Tokens whose ratio was bounded",
            unit="tokens",
            lines=(
                ("clip_ratio/delta_tokens", "by delta"),
                ("sampling/importance_sampling_ratio/touched_tokens", "weight of sampler and learner"),
            ),
            from_zero=True,
        ),
        _Panel(title="KL to the reference", unit="nats per token", lines=(("kl", "KL"),)),
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
    _Panel(title="Next-token accuracy", unit="%", lines=(("mean_token_accuracy", "teacher forcing"),)),
    _Panel(title="Entropy", unit="nats", lines=(("entropy", "per token"),), from_zero=True),
    _Panel(title="Gradient norm", unit="norm", lines=(("grad_norm", "before clipping"),), from_zero=True),
]


_KEY_STEPS_PANELS = [
    _Panel(title="Key step loss", unit="nats per token", lines=(("loss", "loss"),)),
    _Panel(
        title="Key tokens: −log p",
        unit="nats",
        lines=(("key/right_nll", "of right traces"), ("key/wrong_nll", "of wrong traces")),
        from_zero=True,
    ),
    _Panel(
        title="Wrong key tokens without a loss",
        unit="%",
        lines=(("key/dropped_frac", "−log p over max_nll"),),
        from_zero=True,
    ),
    *(
        _Panel(
            title=f"Edit distance: {title}",
            unit="%",
            lines=tuple((f"key_lines/{side}/{figure}", f"{side} traces") for side in ("right", "wrong")),
            from_zero=True,
        )
        for title, figure in (
            ("key lines found (recall)", "line_recall"),
            ("found lines that are key (precision)", "line_precision"),
            ("key tokens in the key line", "token_precision"),
            ("key tokens of all tokens", "key_frac"),
        )
    ),
    _Panel(title="Gradient norm", unit="norm", lines=(("grad_norm", "before clipping"),), from_zero=True),
]
_PANELS = {Stage.WARM: _WARM_PANELS, Stage.KEY_STEPS: _KEY_STEPS_PANELS}


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnPanel:
    """A panel of the page: its legend has the colour, the line style and the name of each line."""

    title: str
    unit: str
    legend: tuple[tuple[Key, str], ...]
    svg: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The curves of a trained stage.

    Attributes:
        stage: Which.
        num_updates: Updates logged.
        window: Width of the running mean, in updates.
        panels: The panels drawn.
        zero: Titles of the panels that are 0 in every update.
        evaluated: Whether there were evaluations during the training.
    """

    stage: Stage
    num_updates: int
    window: int
    panels: tuple[DrawnPanel, ...]
    zero: tuple[str, ...]
    evaluated: bool


def training(run: RunRecord) -> list[Training]:
    """Curves of every trained stage, the last one first."""
    return [_training(stage, run.metrics[stage]) for stage in reversed(run.metrics)]


def _training(stage: Stage, rows: list[UpdateRow]) -> Training:
    window = 2 * (len(rows) // 40) + 1
    panels = _grpo_panels(rows) if stage is Stage.GRPO else _PANELS[stage]
    drawn, zero = [], []
    for place, panel in enumerate(panels):
        lines = _lines(panel, rows)
        if any(any(value for value in line.values if isfinite(value)) for _, line in lines):
            drawn.append(_drawn(panel, lines, rows, window, f"{stage_colour(stage)}{place}"))
        elif lines:
            zero.append(panel.title.lower())
    return Training(
        stage=stage,
        num_updates=len(rows),
        window=window,
        panels=tuple(drawn),
        zero=tuple(zero),
        evaluated=any(name.startswith("eval_") for row in rows for name in row.metrics),
    )


def line_look(place: int) -> tuple[str, str]:
    """Colour and line style of the line at this place; no two of the first eighteen are the same."""
    return f"line{1 + place % _COLOURS}", LINE_STYLES[(place + place // _COLOURS) % len(LINE_STYLES)]


def _lines(panel: _Panel, rows: list[UpdateRow]) -> list[tuple[str, Curve]]:
    scale = 100.0 if panel.unit == "%" else 1.0
    lines: list[tuple[str, Curve]] = []
    for key, text in panel.lines:
        values = [scale * _finite(row.metrics.get(key), panel.absent) for row in rows]
        known = [value for value in values if isfinite(value)]
        if not known:
            continue
        place = len(lines)
        colour, style = line_look(place)
        curve = Curve(values=values, colour=colour, style=style)
        lines.append((text if any(known) else f"{text} (always 0)", curve))
    return lines


def _drawn(
    panel: _Panel, lines: list[tuple[str, Curve]], rows: list[UpdateRow], window: int, name: str
) -> DrawnPanel:
    svg = curves(
        [row.update for row in rows],
        [line for _, line in lines],
        unit=panel.unit,
        from_zero=panel.from_zero,
        logarithmic=panel.logarithmic,
        window=window if panel.smooth else None,
        name=name,
        alt=f"{panel.title} over updates",
    )
    legend = tuple((Key(colour=line.colour, text=text), line.style) for text, line in lines)
    return DrawnPanel(title=panel.title, unit=panel.unit, legend=legend, svg=svg)


def _finite(value: float | None, absent: float) -> float:
    return value if value is not None and isfinite(value) else absent
