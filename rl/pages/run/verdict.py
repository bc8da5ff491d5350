"""The verdict at the top of a run's report, and the choice of problems that the report shows.

In: a `RunRecord`, of a finished or an unfinished run. Out: the verdict as text. Nothing here knows HTML.
"""

from __future__ import annotations

from collections.abc import Sequence

from rl.pages.steps import worded
from rl.runs.read import RunRecord
from rl.runs.record import Stage
from rl.stats.format import percent


def verdict(run: RunRecord) -> str:
    """The run in one or two sentences, computed from its results.

    Example: GRPO: 99.5 % correct on id (warm start 97.5 %) with 2.30 steps per correct answer: 18 % fewer than
    the warm start, 19 % fewer than the full traces.

    Percentages of steps compare the mean over each stage's correct answers. Where no step is checked, steps are
    counted, and not compared with the full traces.
    """
    sentences = []
    if run.splits:
        main = run.splits[0]
        before, after = run.before_after(main)
        assert after is not None
        sentences.append(_main_sentence(run, main, before, after))
        none_right, some_right = [], []
        for split in run.splits[1:]:
            results = run.results(split)
            now, then = results.get(after), results.get(before) if before is not None else None
            if now is not None and not now.accuracy:
                none_right.append(split)
            elif now is not None:
                was = f" ({before.label} {percent(then.accuracy)})" if before and then else ""
                some_right.append(f"{split} {percent(now.accuracy)}{was}")
        if some_right:
            sentences.append(f"Correct elsewhere: {', '.join(some_right)}.")
        if none_right:
            sentences.append(f"No correct answer on {' or '.join(none_right)}.")
    if run.summary.stopped is not None:
        sentences.append(f"GRPO was stopped early after update {run.summary.stopped} (eval.patience).")
    if run.missing:
        names = " and ".join(stage.label for stage in run.missing)
        begun = [f"{run.metrics[s][-1].update} of {s.label}" for s in run.missing if s in run.metrics]
        logged = f" (updates logged: {', '.join(begun)})" if begun else ""
        sentences.append(f"Unfinished: {names} not evaluated yet{logged}.")
    return " ".join(sentences)


def _main_sentence(run: RunRecord, split: str, before: Stage | None, after: Stage) -> str:
    results = run.results(split)
    now = results[after]
    how = "" if now.greedy else ", sampled"
    sentence = f"{after.label}{how}: {percent(now.accuracy)} correct on {split}"
    if before is not None:
        sentence += f" ({before.label} {percent(results[before].accuracy)})"
    steps = now.steps_per_correct
    if steps is None:
        return sentence + ", so no steps per correct answer can be given."
    sentence += f" with {steps:.2f} {worded('steps per correct answer', checked=now.steps_checked)}"
    than = []
    if before is not None and (earlier := results[before].steps_per_correct):
        than.append(_compare(steps, earlier, f"the {before.label}"))
    if now.full_steps_per_correct and now.steps_checked:
        than.append(_compare(steps, now.full_steps_per_correct, "the full traces"))
    return sentence + (f": {', '.join(than)}." if than else ".")


def _compare(steps: float, other: float, what: str) -> str:
    share = round(100 * (1 - steps / other))
    if share == 0:
        return f"as many as {what}"
    return f"{abs(share)} % {'fewer' if share > 0 else 'more'} than {what}"


def take_turns(kinds: Sequence[Sequence[int]], num: int) -> list[int]:
    """Up to `num` problems: the first of every kind, then the second of every kind, and so on.

    Example: take_turns([[7], [], [1, 2, 3]], 3) -> [7, 1, 2], in order of kind.
    """
    turns = [(turn, kind) for kind, indices in enumerate(kinds) for turn in range(len(indices))]
    chosen = sorted(sorted(turns)[:num], key=lambda pick: (pick[1], pick[0]))
    return [kinds[kind][turn] for turn, kind in chosen]
