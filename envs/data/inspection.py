"""What the problems of a task are worth to learn from: their traces, and what constant answers earn.

In: a task, with what loading its data left out. Out: an `Inspection`, which `table.py` writes for a person. All
problems of data are looked at, and the first ones of an endless task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from envs.base import Env
from envs.data.figures import Checks, Constant, Inspection, Length, Source, Worst
from envs.data.report import DataReport, HasReport
from envs.data.rows import FaultKind
from envs.data.traces import num_unchecked
from envs.grading import Grade
from envs.problem import Problem, Split
from envs.seeding import derive_random
from envs.trace import Step, Trace, Verdict

FULL = "full"
_MAX_CONSTANTS = 5
_MAX_GRADED = 500
_MAX_WORST = 10
_OTHER_FAULT = "another fault"
# Faults of a trace; without the trace the row makes a problem.
_OF_A_TRACE = (
    FaultKind.NUM_STEPS,
    FaultKind.TRACE_ANSWER,
    FaultKind.TRACE_STEP,
    FaultKind.TRACE_LENGTH,
    FaultKind.NO_FULL,
)
Progress = Callable[[int, int], None]


def inspect(env: Env[Any], *, num_problems: int, progress: Progress | None = None) -> Inspection:
    """Look at all problems of a split with an end, and at the first `num_problems` of an endless one.

    Args:
        env: The task. Rows that loading left out are counted, if it tells them (`HasReport`).
        num_problems: Problems of an endless split.
        progress: Called with the number of problems done and their total.

    Raises:
        GraderError: The grader failed.
    """
    report = env.data_report if isinstance(env, HasReport) and env.data_report.num_rows else None
    found = _Inspector(env, report).inspect(num_problems, progress)
    if report is None:
        return found
    return replace(
        inspect_report(env.name, found.settings, report),
        num_problems=found.num_problems,
        num_repeated=_num_repeated(report),
        lengths=found.lengths,
        checks=found.checks,
        worst=found.worst,
        constants=found.constants,
        num_graded=found.num_graded,
    )


def inspect_report(task: str, settings: Mapping[str, Any], report: DataReport) -> Inspection:
    """What is known of data that has no usable problem."""
    bad = {source: {one.number for one in report.faults if one.source == source} for source in report.num_rows}
    return Inspection(
        task=task,
        settings=settings,
        sources=tuple(
            Source(name=source, num_rows=count, num_refused=len(bad[source]))
            for source, count in report.num_rows.items()
        ),
        faults=report.faults,
        notes=report.notes,
    )


def _num_repeated(report: DataReport) -> int:
    """Number of rows that repeat a question and are joined with the row that has it first."""
    bad = {(one.source, one.number) for one in report.faults if one.kind not in _OF_A_TRACE}
    questions = [row.question_key for row in report.rows if (row.source, row.number) not in bad]
    return len(questions) - len(set(questions))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judgement:
    """What is shown of a judged trace; fields as in `Trace`."""

    num_steps: int
    verified: bool
    finished: bool | None
    num_unchecked: int
    invalid: tuple[Step, ...] = ()


def _judgement(trace: Trace) -> _Judgement:
    return _Judgement(
        num_steps=trace.num_steps,
        verified=trace.verified,
        finished=trace.finished,
        num_unchecked=num_unchecked(trace),
        invalid=tuple(step for step in trace.steps if step.verdict is Verdict.INVALID),
    )


class _Inspector:
    """Collects figures over problems.

    Args:
        env: The task.
        report: What loading its data found; None for a task without data.
    """

    def __init__(self, env: Env[Any], report: DataReport | None) -> None:
        self._env = env
        self._report = report or DataReport(rows=(), num_rows={})
        self._lengths: dict[str, Counter[int]] = {}
        self._saved: dict[str, list[int]] = {}
        self._reasons: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._worst: list[Worst] = []

    def inspect(self, num_problems: int, progress: Progress | None) -> Inspection:
        env = self._env
        sizes = {split: env.num_problems(split) or num_problems for split in env.splits}
        total = sum(sizes.values())
        seen: set[str] = set()
        repeated = 0
        answers: Counter[str] = Counter()
        graded: list[Problem] = []
        every = max(1, total // _MAX_GRADED)
        for done, problem in enumerate(self._problems(sizes), 1):
            repeated += problem.question in seen
            seen.add(problem.question)
            answers[problem.answer] += 1
            if done % every == 0:
                graded.append(problem)
            self._look_at(problem)
            if progress is not None:
                progress(done, total)
        checked = self._totals
        return Inspection(
            task=env.name,
            settings=env.settings.model_dump(mode="json", exclude_defaults=True),
            num_problems={split.value: size for split, size in sizes.items()},
            num_repeated=repeated,
            lengths=tuple(self._length(kind) for kind in self._lengths),
            checks=Checks(
                num_steps=checked["steps"],
                reasons=dict(self._reasons.most_common()),
                num_traces=checked["traces"],
                num_verified=checked["verified"],
                num_unfinished=checked["unfinished"],
                num_without=checked["without"],
                num_unchecked=checked["unchecked"],
            )
            if env.checks_steps and checked["traces"]
            else None,
            worst=tuple(sorted(self._worst, key=_badness)[:_MAX_WORST]),
            constants=_constants(env, answers, graded),
            num_graded=len(graded),
        )

    def _problems(self, sizes: Mapping[Split, int]) -> Iterator[Problem]:
        for split, size in sizes.items():
            for index in range(size):
                yield self._env.problem(split, index)

    def _look_at(self, problem: Problem) -> None:
        env = self._env
        if not env.has_solutions:
            return
        full = self._full(problem)
        if full is None:
            return
        self._count(FULL, full.num_steps)
        self._judge(problem, full)
        for kind in env.skip_kinds:
            rng = derive_random("data check", env.name, kind, problem.split.value, problem.index)
            if skipped := env.skipped_trace(problem, kind, rng):
                count = self._judged(problem, skipped).num_steps
                self._count(kind, count)
                self._saved.setdefault(kind, [0, 0])
                self._saved[kind][0] += full.num_steps - count
                self._saved[kind][1] += full.num_steps

    def _full(self, problem: Problem) -> _Judgement | None:
        """The judgement of the full trace, one that was left out included; None without any."""
        try:
            return self._judged(problem, self._env.full_trace(problem))
        except ValueError:  # it has none, or none that holds
            left_out = self._report.left_out.get(problem.question)
        if left_out is None:
            return None
        return _judgement(left_out.trace or self._env.check_demonstration(problem, left_out.lines))

    def _judged(self, problem: Problem, lines: tuple[str, ...]) -> _Judgement:
        """The judgement of a trace; loading has judged those of data, of which only sound ones are left."""
        if (known := self._report.num_steps.get(lines)) is not None:
            unchecked = self._report.num_unchecked.get(lines, 0)
            return _Judgement(num_steps=known, verified=True, finished=True, num_unchecked=unchecked)
        return _judgement(self._env.check_demonstration(problem, lines))

    def _count(self, kind: str, num_steps: int) -> None:
        self._lengths.setdefault(kind, Counter())[num_steps] += 1

    def _length(self, kind: str) -> Length:
        saved, of = self._saved.get(kind, (0, 0))
        return Length(
            kind=kind,
            counts=dict(sorted(self._lengths[kind].items())),
            saved_frac=saved / of if of else None,
        )

    def _judge(self, problem: Problem, trace: _Judgement) -> None:
        env, totals = self._env, self._totals
        where = env.where(problem) if isinstance(env, HasReport) else f"{problem.split} {problem.index}"
        if not env.checks_steps:
            shown = " ".join(problem.question.split())
            self._add_worst(Worst(where=where, num_steps=trace.num_steps, num_invalid=None, shown=shown))
            return
        invalid = trace.invalid
        totals["traces"] += 1
        totals["steps"] += trace.num_steps
        totals["unchecked"] += trace.num_unchecked
        totals["verified"] += trace.verified
        totals["without"] += not trace.num_steps
        totals["unfinished"] += bool(trace.num_steps and not invalid and not trace.finished)
        self._reasons.update(step.reason or _OTHER_FAULT for step in invalid)
        if invalid:
            text = f"{' '.join(invalid[0].text.split())}: {invalid[0].reason}"
            self._add_worst(Worst(where=where, num_steps=trace.num_steps, num_invalid=len(invalid), shown=text))

    def _add_worst(self, worst: Worst) -> None:
        self._worst.append(worst)
        if len(self._worst) > 50 * _MAX_WORST:
            self._worst = sorted(self._worst, key=_badness)[:_MAX_WORST]


def _badness(worst: Worst) -> tuple[float, float, int]:
    invalid = worst.num_invalid or 0
    return (-invalid / max(1, worst.num_steps), -invalid, -worst.num_steps)


def _constants(env: Env[Any], answers: Counter[str], problems: list[Problem]) -> tuple[Constant, ...]:
    """What the most frequent answers earn, the best first."""
    if not problems:
        return ()
    found = []
    for answer, _ in answers.most_common(_MAX_CONSTANTS):
        right = sum(env.grade_answer(problem, answer) is Grade.CORRECT for problem in problems)
        found.append(Constant(answer=answer, right_frac=right / len(problems)))
    return tuple(sorted(found, key=lambda constant: -constant.right_frac))
