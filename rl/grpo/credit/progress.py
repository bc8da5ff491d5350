"""`progress`: a line gets how much nearer the end it leads, beside what the group does from the same state.

Potential-based shaping (Ng, Harada and Russell, "Policy invariance under reward transformations", ICML 1999,
equation 2, gamma 1): a line from state s to s' is rewarded Phi(s') - Phi(s), with Phi = -`Env.remaining`. Over
a trace these rewards add up to Phi(end) - Phi(start), the same for all complete traces of a problem, so their
order stays as the reward has it, and a way round gains nothing. As Phi is the value of the best way on, the
reward of a line by itself says how good the line is (section 4 there), and no later line needs to be credited
to it.

The end is that of a trace that passes. While an invalid line stands it is out of reach, as in a dead end, until
the line is taken back: so that pays, and to go on does not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from envs.faults import wrong_lines_stand
from envs.line_facts import LineFacts, LineUse
from envs.trace import StepKind, Trace
from rl.grpo.credit.rule import CreditGroup, Visit

_ELEMENTARY = 1.0  # the progress of an elementary line


def progress_credit(group: CreditGroup, *, weight: float, dead_end: float) -> list[list[float]]:
    """Advantages of tokens: that of the sample, plus `weight` times the progress of the line less its baseline.

    The baseline is the mean progress of the lines that samples of the group took at the same visit of the same
    state. Where one sample stood alone it is 1, the progress of an elementary line, and a needed line is not
    below it. Lines whose progress is unknown get nothing.

    Example: from one state three samples go on with an elementary line and one with a line that does two: the
    mean is 1.25, so they get -0.25 and 0.75 times the weight.

    Args:
        group: A group whose samples have facts.
        weight: The reward of one elementary line.
        dead_end: See `distance_of_dead_ends`.
    """
    lost = distance_of_dead_ends([sample.facts or () for sample in group.samples], dead_end)
    facts = [_to_a_pass(sample.trace, sample.facts or ()) for sample in group.samples]
    progress = [finite_progress(one, lost) for one in facts]
    visits = [group.visits_before(number) for number in range(len(progress))]
    found: dict[Visit, list[float]] = defaultdict(list)
    for places, values in zip(visits, progress, strict=True):
        for place, value in zip(places, values, strict=False):
            if value is not None:
                found[place].append(value)
    lines = []
    for own, places, values in zip(facts, visits, progress, strict=True):
        row = []
        for place, value, fact in zip(places, values, own, strict=False):
            if value is None:
                row.append(0.0)
                continue
            baseline = fmean(found[place]) if len(found[place]) > 1 else _ELEMENTARY
            if len(found[place]) == 1 and fact.use is LineUse.NEEDED:
                baseline = min(baseline, value)
            row.append(weight * (value - baseline) / group.scale)
        lines.append(row)
    return group.with_lines(lines)


def _to_a_pass(trace: Trace, facts: Sequence[LineFacts]) -> list[LineFacts]:
    """The facts of lines, with the end out of reach while an invalid line stands.

    What is unknown stays unknown. No line that is written then is needed, except for backtracks.
    """
    found, before = [], False
    for step, fact, after in zip(trace.steps, facts, wrong_lines_stand(trace), strict=False):
        found.append(
            fact._replace(
                before=math.inf if before and fact.before is not None else fact.before,
                after=math.inf if after and fact.after is not None else fact.after,
                use=LineUse.WRONG if after and step.kind is not StepKind.BACKTRACK else fact.use,
            )
        )
        before = after
    return found


def distance_of_dead_ends(samples: Iterable[Sequence[LineFacts]], dead_end: float) -> float:
    """How far from the end the dead ends of a group count as: `dead_end` lines further than anything else.

    So no way into one gains anything, however far the sample has gone astray before it.

    Example: the samples have been 3, 2 and 6 lines from the end: 7 with a `dead_end` of 1.

    Args:
        samples: The facts of the lines of each sample.
        dead_end: Elementary lines.
    """
    known = [value for facts in samples for fact in facts for value in (fact.before, fact.after)]
    return max([value for value in known if value is not None and math.isfinite(value)], default=0.0) + dead_end


def finite_progress(facts: Sequence[LineFacts], lost: float) -> list[float | None]:
    """Phi after each line less Phi before it, in elementary lines; None where it is unknown.

    Example: a line into a dead end, from 2 lines before the end, gets 2 - 4 = -2 if dead ends are 4 lines away;
    the backtrack out of it gets them back.

    Args:
        facts: Of the lines of a sample.
        lost: See `distance_of_dead_ends`.
    """
    progress: list[float | None] = []
    for fact in facts:
        if fact.before is None or fact.after is None:
            progress.append(None)
        else:
            before, after = (lost if math.isinf(value) else value for value in (fact.before, fact.after))
            progress.append(before - after)
    return progress
