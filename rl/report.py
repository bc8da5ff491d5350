"""The report of a run: one HTML page that needs nothing but itself.

In: a run folder, finished or not. Out: `report.html` in it: the verdict, accuracy against steps, all results, curves
of the training, step counts and problems before and after, provenance. No scripts, no outside files, and the
same bytes for the same folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path

from rl.report_page import dot, problems, provenance, result_table, visible
from rl.report_plots import LINE_STYLES, Curve, Point, curves, step_counts, trade_off
from rl.report_run import Row, RunRecord, is_correct, label, num_steps, percent, read_run, verdict
from rl.report_style import stage_colour, style_sheet
from rl.run_folder import write_text

_EXAMPLES = (8, 3)
"""Problems shown of the first split, and of each other one."""

_SHAPES = {"base": "■", "warm": "●", "grpo": "◆"}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no run, or one of its files is damaged.
    """
    path = folder / "report.html"
    write_text(path, render_report(read_run(folder)))
    return path


def render_report(run: RunRecord) -> str:
    """The whole page."""
    env = run.config.get("env") or {}
    parts = [
        f'<header><p class="kind">Run report · {visible(env.get("name", "unknown task"))}</p>'
        f'<h1>{visible(run.name)}</h1><p class="verdict">{_tied(visible(verdict(run)))}</p>',
        _tiles(run),
        "</header>",
        "<h2>Accuracy against steps</h2>",
        _trade_offs(run),
        "<h2>All results</h2>",
        result_table(run),
        '<p class="note">Greedy decoding unless the column says sampled. Figures per trace are means over all '
        "problems of the split, figures per correct answer over the correct ones; a dash stands where there is "
        "none. Steps saved is the mean of 1 − steps / full steps, every correct answer counting alike; the "
        "sentence at the top compares means of steps instead. A real backtrack went back and then took another "
        "branch; a wasted step was undone later; cut off means stopped at the length limit.</p>",
        "<h2>Training</h2>",
        _training(run),
        "<h2>Step counts before and after</h2>",
        _distributions(run),
        "<h2>The same problems before and after</h2>",
        _examples(run),
        "<h2>Where this comes from</h2>",
        provenance(run),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{visible(run.name)}: run report</title>\n<style>{style_sheet()}</style></head>\n"
        "<body><main>\n" + "\n".join(parts) + "\n</main></body></html>\n"
    )


def _tied(text: str) -> str:
    return text.replace(" %", "&nbsp;%")


def _tiles(run: RunRecord) -> str:
    if not run.splits:
        return ""
    split = run.splits[0]
    before, after = run.before_after(split)
    assert after is not None
    now, then = run.stages[after][split], run.stages[before][split] if before is not None else None
    tiles = []
    for name, key, form in (
        (f"Correct on {split}", "accuracy", percent),
        ("Every step valid", "verified", percent),
        ("Steps per correct answer", "steps_per_correct", _two),
        ("Steps saved against full traces", "steps_saved", percent),
    ):
        was = f"{label(before)}: {form(then.get(key))}" if before is not None and then is not None else ""
        if key == "accuracy":
            low, high = (form(now.get(f"accuracy_{end}")) for end in ("low", "high"))
            was = f"95 % interval {low.removesuffix(' %')}–{high}"
        tiles.append(
            f"<div><dt>{visible(name)}</dt><dd>{_tied(form(now.get(key)))}"
            f"<small>{_tied(visible(was))}</small></dd></div>"
        )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _two(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:.2f}"


def _trade_offs(run: RunRecord) -> str:
    if not run.stages:
        return "<p>No stage has been evaluated yet.</p>"
    figures, said = [], []
    for number, split in enumerate(run.splits):
        results = {stage: splits[split] for stage, splits in run.stages.items() if split in splits}
        points = [
            Point(
                stage=stage,
                text=label(stage) if stage in _SHAPES else "other",
                steps=result["steps_per_correct"],
                accuracy=result["accuracy"],
                low=result["accuracy_low"],
                high=result["accuracy_high"],
            )
            for stage, result in results.items()
            if result.get("steps_per_correct") is not None
        ]
        full = next(iter(results.values()))["full_steps"]
        said.append(f"<li>{_tied(_said(split, results, full))}</li>")
        if points:
            alt = f"Accuracy against steps per correct answer on {visible(split)}"
            svg = trade_off(points, full, name=f"trade{number}", alt=alt)
            figures.append(f"<figure><figcaption>{visible(split)}</figcaption>{svg}</figure>")
    legend = "".join(
        f'<li><b style="color:var(--{stage_colour(stage)})">{_SHAPES.get(stage, "▲")}</b>{visible(label(stage))}</li>'
        for stage in run.stages
    )
    listed = f'<ul class="said">{"".join(said)}</ul>'
    intro = (
        "<p>Up and to the left is better: more problems solved, in fewer steps. Bars are 95 % intervals (Wilson) "
        "of the accuracy; arrows go from stage to stage; the dashed line is the mean of the full traces.</p>"
        f'<ul class="legend">{legend}</ul>'
    )
    if len(figures) == 1:
        return f'{intro}<div class="pair">{figures[0]}{listed}</div>'
    return f'{intro}<div class="panels wide">{"".join(figures)}</div>{listed}'


def _said(split: str, results: dict[str, Row], full: float) -> str:
    text = f"<b>{visible(split)}</b>: "
    placed = [stage for stage, result in results.items() if result.get("steps_per_correct") is not None]
    if not placed:
        num = next(iter(results.values()))["num_problems"]
        who = visible(" or ".join(label(stage) for stage in results))
        return text + (
            f"no correct answer in {num} problems from {who}. There are no steps per correct answer to "
            f"show, so this split has no plot (full traces: {full:.2f} steps)."
        )
    text += " → ".join(
        f"{visible(label(stage))} {percent(results[stage]['accuracy'])} at "
        f"{results[stage]['steps_per_correct']:.2f} steps"
        for stage in placed
    )
    text += f"; full traces {full:.2f}."
    absent = visible(" and ".join(label(stage) for stage in results if stage not in placed))
    return text + (f" Without a correct answer, and so without a point: {absent}." if absent else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """A panel of the training section: which metrics, under which title.

    Attributes:
        title: Shown above.
        unit: Label of the y axis; "%" multiplies by 100.
        lines: Metric and its name in the legend.
        from_zero: Start the y axis at 0.
        logarithmic: Logarithmic y axis.
    """

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    from_zero: bool = False
    logarithmic: bool = False


def _grpo_panels(names: set[str]) -> list[_Panel]:
    parts = sorted(n for n in names if n.startswith("reward/") and n != "reward/group_std")
    causes = sorted(n for n in names if n.startswith("groups/all_"))
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
            lines=(("backtracks", "all"), ("backtracks/real", "real")),
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
            lines=tuple((f"outcome/{name}", name) for name in ("wrong", "malformed", "truncated")),
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
            unit="nats, absolute",
            lines=(("logprob_diff/max", "largest"), ("logprob_diff/mean", "mean")),
            logarithmic=True,
        ),
        _Panel(title="Gradient norm", unit="norm", lines=(("grad_norm", "before clipping"),), from_zero=True),
        _Panel(
            title="Time per update",
            unit="seconds",
            lines=tuple(
                (f"seconds/{name}", name)
                for name in ("total", "rollout", "update", "score", "prepare", "publish")
            ),
            from_zero=True,
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


def _training(run: RunRecord) -> str:
    parts = []
    for stage in reversed(run.metrics):
        rows = run.metrics[stage]
        names = {name for row in rows for name in row}
        window = 2 * (len(rows) // 40) + 1
        shown = _grpo_panels(names) if stage == "grpo" else _WARM_PANELS
        drawn = [_panel(panel, rows, window, f"{stage_colour(stage)}{i}") for i, panel in enumerate(shown)]
        smooth = f"; faint: raw, strong: mean over {window} updates" if window > 1 else ""
        sampled = " of sampled completions, at the training temperature" if stage == "grpo" else ""
        parts.append(
            f"<h3>{dot(stage)}{visible(label(stage))}: {len(rows):,} updates</h3>"
            f'<p class="note">Values{sampled}{smooth}.</p><div class="panels">{"".join(drawn)}</div>'
        )
    return "".join(parts) or "<p>No update has been logged yet.</p>"


def _panel(panel: _Panel, rows: list[Row], window: int, name: str) -> str:
    scale = 100.0 if panel.unit == "%" else 1.0
    drawn, legend = [], []
    for key, text in panel.lines:
        values = [scale * _finite(row.get(key)) for row in rows]
        known = [value for value in values if isfinite(value) and (value > 0 or not panel.logarithmic)]
        if not known:
            continue
        colour, style = f"line{1 + len(drawn) % 6}", LINE_STYLES[len(drawn) % len(LINE_STYLES)]
        drawn.append(Curve(values=values, colour=colour, style=style))
        legend.append(
            f'<li><i style="border-top-style:{style};border-color:var(--{colour})"></i>{visible(text)}</li>'
        )
    if not drawn:
        return ""
    svg = curves(
        [row["update"] for row in rows],
        drawn,
        unit=panel.unit,
        from_zero=panel.from_zero,
        logarithmic=panel.logarithmic,
        window=window,
        name=name,
        alt=f"{visible(panel.title)} over updates",
    )
    return (
        f'<figure><figcaption>{visible(panel.title)}<ul class="legend">{"".join(legend)}</ul></figcaption>'
        f"{svg}</figure>"
    )


def _finite(value: object) -> float:
    return float(value) if isinstance(value, int | float) and isfinite(value) else nan


def _distributions(run: RunRecord) -> str:
    figures, used = [], []
    for number, split in enumerate(run.splits):
        stages = [stage for stage in run.before_after(split) if stage is not None]
        rows = {stage: list(run.completions.get(stage, {}).get(split, {}).values()) for stage in stages}
        rows = {stage: found for stage, found in rows.items() if found}
        if not rows:
            continue
        used += rows
        counts = [
            (
                stage,
                [num_steps(row) for row in found if is_correct(row)],
                [num_steps(row) for row in found if not is_correct(row)],
            )
            for stage, found in rows.items()
        ]
        full = [row["full_steps"] for row in next(iter(rows.values()))]
        right = ", then ".join(
            f"{label(stage)} {len(ok)} of {len(ok) + len(no)} correct" for stage, ok, no in counts
        )
        svg = step_counts(counts, full, name=f"counts{number}", alt=f"Step counts on {visible(split)}")
        figures.append(
            f'<figure><figcaption>{visible(split)} <span class="note">{visible(right)}</span></figcaption>'
            f"{svg}</figure>"
        )
    if not figures:
        return "<p>There are no evaluated completions yet.</p>"
    legend = "".join(
        f'<li><i class="box" style="background:var(--{stage_colour(stage)})"></i>{visible(label(stage))}, correct</li>'
        for stage in dict.fromkeys(used)
    )
    return (
        "<p>Steps of the greedy completions, the earlier stage above the later one.</p>"
        f'<ul class="legend">{legend}<li><i class="box" style="background:var(--wrong);outline:1px dashed '
        'var(--muted)"></i>not correct (hatched)</li><li><i style="border-color:var(--ink);'
        'border-top-width:1px"></i>full traces of the same problems</li></ul>'
        f'<div class="panels wide">{"".join(figures)}</div>'
    )


def _examples(run: RunRecord) -> str:
    if not run.splits:
        return "<p>There are no evaluated completions yet.</p>"
    parts = [
        "<p>Chosen by rule, not by hand: problems are sorted into the kinds counted below, the bad news first; of "
        "each kind in turn one is shown, until there are enough. Within a kind the largest change of the number "
        "of steps comes first, then the lowest index.</p>"
        '<p class="note"><span class="mark ok">✓</span> valid step &nbsp; <span class="mark no">✗</span> invalid '
        'step, with the reason &nbsp; <span class="mark na">·</span> not checked &nbsp; ↩ backtrack &nbsp; '
        "<s>struck through</s>: undone by a later backtrack</p>"
    ]
    for number, split in enumerate(run.splits):
        parts.append(f"<h3>{visible(split)}</h3>{problems(run, split, _EXAMPLES[min(number, 1)])}")
    return "".join(parts)
