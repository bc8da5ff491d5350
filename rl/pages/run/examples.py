"""The report's parts that are text: table, problems side by side, provenance.

In: a `RunRecord`. Out: HTML. Everything that a model, a config or an environment wrote passes through
`visible`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs import StepKind, Verdict
from rl.pages.html import clipped, dot, group_row, row_head, table, visible
from rl.pages.run.verdict import take_turns
from rl.runs.changes import changes
from rl.runs.read import RunRecord
from rl.runs.record import SampleRow, SplitResult, Stage, StepRow
from rl.stats.format import bare_percent, duration, number, percent

_MAX_LINES = 14
_MARKS = {Verdict.VALID: ("ok", "✓"), Verdict.INVALID: ("no", "✗"), Verdict.UNCHECKED: ("na", "·")}


def result_table(run: RunRecord) -> str:
    """Every stage and split with all its figures."""
    if not run.stages:
        return "<p>No stage has been evaluated yet.</p>"
    ks = sorted(
        {int(k) for split in run.splits for result in run.results(split).values() for k in result.pass_at_k}
    )
    heads = [
        "Stage",
        "Accuracy<br>(95 %<br>interval)",
        "Every<br>step<br>valid",
        f"Sampled<br>mean@{ks[-1]}" if ks else "Sampled<br>mean@k",
        *(f"Sampled<br>pass@{k}" for k in ks if k > 1),
        "Steps<br>per<br>correct",
        "Full<br>steps,<br>same",
        "Steps<br>saved",
        "Sampled<br>steps per<br>correct",
        "Invalid<br>steps",
        "Back-<br>tracks<br>(real)",
        "Wasted<br>steps",
        "Tokens",
        "Cut<br>off",
    ]
    lines = []
    for split in run.splits:
        results = run.results(split)
        one = next(iter(results.values()))
        about = f"{one.num_problems} problems, full traces {number(one.full_steps)} steps on average"
        lines.append(group_row(split, len(heads), about))
        lines.extend(_result_row(stage, result, [k for k in ks if k > 1]) for stage, result in results.items())
    return table(heads, lines)


def _result_row(stage: Stage, result: SplitResult, ks: Sequence[int]) -> str:
    interval = f"{bare_percent(result.accuracy_low)}–{bare_percent(result.accuracy_high)}"
    cells = [
        f"{percent(result.accuracy)}<small>{interval}</small>",
        percent(result.verified),
        percent(result.sampled_accuracy),
        *(percent(result.pass_at_k.get(str(k))) for k in ks),
        number(result.steps_per_correct),
        number(result.full_steps_per_correct),
        percent(result.steps_saved),
        number(result.sampled_steps_per_correct),
        number(result.invalid_steps),
        f"{number(result.backtracks)}<small>{number(result.real_backtracks)}</small>",
        number(result.wasted_steps),
        number(result.tokens, 1),
        percent(result.truncated),
    ]
    values = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr>{row_head(stage)}{values}</tr>"


def problems(run: RunRecord, split: str, num: int) -> str:
    """Some problems of a split, each as every stage answered it.

    What became of each problem between the last two stages is counted for all of them; of every kind, problems
    are shown in turn (`take_turns`).
    """
    stages = [stage for stage in run.stages if run.completions[stage].get(split)]
    if not stages:
        return "<p>There are no completions of this split in the run folder.</p>"
    after = run.completions[stages[-1]][split]
    kinds: dict[str, list[int]]
    if len(stages) > 1:
        before = run.completions[stages[-2]][split]
        kinds = {kind.value: indices for kind, indices in changes(before, after).items()}
        counted = f"From {stages[-2].label} to {stages[-1].label}:"
    else:
        kinds = {
            "not solved": [index for index in sorted(after) if not after[index].correct],
            "solved": [index for index in sorted(after) if after[index].correct],
        }
        counted = f"{stages[0].label}:"
    total = sum(len(indices) for indices in kinds.values())
    counts = "".join(
        f"<li{'' if indices else ' class=zero'}><b>{len(indices)}</b> {kind}</li>"
        for kind, indices in kinds.items()
    )
    named = {index: kind for kind, indices in kinds.items() for index in indices}
    cards = [
        _problem({stage: run.completions[stage][split].get(index) for stage in stages}, index, named[index])
        for index in take_turns(list(kinds.values()), num)
    ]
    return (
        f'<p class="note">{visible(counted)} what became of all {total} problems. '
        f'{len(cards)} of them are shown.</p><ul class="counts">{counts}</ul>{"".join(cards)}'
    )


def _problem(rows: Mapping[Stage, SampleRow | None], index: int, kind: str) -> str:
    any_row = next(row for row in reversed(list(rows.values())) if row is not None)
    columns = "".join(_column(stage, row) for stage, row in rows.items())
    return (
        '<article class="problem"><header>'
        f'<div class="prompt">{visible(any_row.prompt.strip(), newlines=True)}</div>'
        f"<p>problem {index} · right answer <code>{visible(any_row.answer)}</code> · full trace "
        f"{_steps(any_row.full_steps)} · <b>{kind}</b></p></header>"
        f'<div class="columns">{columns}</div></article>'
    )


def _column(stage: Stage, row: SampleRow | None) -> str:
    head = f"<b>{dot(stage)}{visible(stage.label)}</b>"
    if row is None:
        return f"<section><h4>{head}</h4><p class=note>not evaluated on this problem</p></section>"
    css, mark = ("ok", "✓") if row.correct else ("no", "✗")
    outcome = f'<span class="{css}">{mark} {visible(row.outcome.value)}</span>'
    head = f"{head} {outcome}<span>{row.num_steps} of {_steps(row.full_steps)}</span>"
    lines = [_step(step) for step in row.steps]
    body = f'<ol class="steps">{"".join(lines[:_MAX_LINES])}</ol>' if lines else ""
    if len(lines) > _MAX_LINES:
        rest = "".join(lines[_MAX_LINES:])
        body += (
            f"<details><summary>{len(lines) - _MAX_LINES} more lines</summary>"
            f'<ol class="steps">{rest}</ol></details>'
        )
    if row.stated is not None:
        body += f'<p class="raw">answer: {clipped(row.stated)}</p>'
    elif lines:
        body += '<p class="raw">no answer</p>'
    else:
        body += f'<p class="raw">no steps in {row.tokens} tokens: {clipped(row.text) or "empty"}</p>'
    return f"<section><h4>{head}</h4>{body}</section>"


def _step(step: StepRow) -> str:
    verdict = step.verdict.value
    css, mark = _MARKS[step.verdict]
    text, notes = clipped(step.text), ""
    if step.kind is StepKind.BACKTRACK:
        text = f"↩ {text}"
    if step.reason:
        notes += f"<em>{clipped(step.reason)}</em>"
    if step.undone:
        text = f"<s>{text}</s>"
        notes += '<em class="plain">undone by a backtrack</em>'
    state = " class=undone" if step.undone else ""
    label_ = f'<span class="mark {css}" role="img" aria-label="{verdict}" title="{verdict}">{mark}</span>'
    return f"<li{state}>{label_}{text}{notes}</li>"


def provenance(run: RunRecord) -> str:
    """Where the run comes from, and its config."""
    about, facts = run.provenance, []
    if about.get("command"):
        facts.append(("Command", f"<code>{visible(' '.join(map(str, about['command'])))}</code>"))
    if about.get("started"):
        facts.append(("Started", visible(about["started"])))
    if about:
        changed = about.get("git_changed_files")
        dirty = f" with {changed} changed file{'s' * (changed != 1)} on top" if changed else ""
        revision = about.get("git_revision")
        facts.append(("Git revision", f"<code>{visible(revision)}</code>{dirty}" if revision else "not known"))
    packages = {"python": about.get("python"), **about.get("packages", {})}
    known = [f"{visible(name)} {visible(version)}" for name, version in packages.items() if version]
    if known:
        facts.append(("Versions", ", ".join(known)))
    machine = [
        visible(value) if key == "system" else f"{visible(value)} {visible(key)}"
        for key, value in about.get("machine", {}).items()
        if value is not None
    ]
    if machine:
        facts.append(("Machine", ", ".join(machine)))
    for stage in Stage:
        for verb, times in (("training", run.summary.train_s), ("evaluating", run.summary.eval_s)):
            if stage in times:
                facts.append((f"Time {verb} {visible(stage.label)}", duration(times[stage])))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        (f'<dl class="facts">{listed}</dl>' if facts else "<p>The run folder holds no provenance.</p>")
        + "<details><summary>Resolved config, defaults included</summary>"
        + f"<pre>{visible(run.config_text, newlines=True)}</pre></details>"
    )


def _steps(num: int) -> str:
    return f"{num} step{'s' * (num != 1)}"
