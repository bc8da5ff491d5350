"""What the problems of a task are worth to learn from: their traces, and what constant answers earn.

In: a task, with what loading its data left out. Out: an `Inspection`, which `table.py` writes for a person. All
problems of data are looked at, and the first ones of an endless task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from envs.base import Env
from envs.data.report import DataReport, HasReport
from envs.data.rows import FaultKind, RowFault
from envs.grading import Grade
from envs.problem import Problem, Split
from envs.seeding import derive_random
from envs.trace import StepKind, Trace, Verdict

FULL = "full"
_MAX_CONSTANTS = 5
_MAX_GRADED = 500
_MAX_WORST = 10
_OTHER_FAULT = "another fault"
# Faults of a trace; without the trace the row makes a problem.
_OF_A_TRACE = (FaultKind.TRACE_ANSWER, FaultKind.TRACE_STEP, FaultKind.TRACE_LENGTH, FaultKind.NO_FULL)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The rows of one file, folder or data set.

    Attributes:
        name: As the settings name it.
        num_rows: Rows in it.
        num_refused: Rows that cannot be used, or of which a trace cannot.
    """

    name: str
    num_rows: int
    num_refused: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Length:
    """Step counts of one kind of trace.

    Attributes:
        kind: `full`, or the skip rule.
        counts: Number of traces by number of steps.
        saved_frac: Share of the steps that skipped traces save of their full ones; None for full traces.
    """

    kind: str
    counts: Mapping[int, int]
    saved_frac: float | None = None

    @property
    def num_traces(self) -> int:
        """Number of traces."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Mean number of steps."""
        return sum(steps * count for steps, count in self.counts.items()) / max(1, self.num_traces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """The verdicts on full traces as they are written, those that are left out included.

    Attributes:
        num_steps: Number of steps.
        reasons: Number of invalid steps by reason.
        num_unchecked: Number of steps that claim nothing that can be checked.
        num_traces: Number of traces.
        num_verified: Traces that are verified.
        num_unfinished: Traces whose steps are valid but do not reach the answer.
        num_without: Traces in which no step was found.
    """

    num_steps: int
    reasons: Mapping[str, int]
    num_traces: int
    num_verified: int
    num_unfinished: int
    num_without: int
    num_unchecked: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Worst:
    """A problem whose full trace has invalid steps or, where steps are not checked, is long.

    Attributes:
        where: Source and row, or split and index.
        num_steps: Number of steps.
        num_invalid: Number of invalid ones; None where steps are not checked.
        shown: The first invalid step with the reason, or the question.
    """

    where: str
    num_steps: int
    num_invalid: int | None
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """What one answer earns on all problems.

    Attributes:
        answer: The answer.
        right_frac: Share of problems for which it is right.
    """

    answer: str
    right_frac: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """All that `stride data check` shows.

    Attributes:
        task: Name of the task.
        settings: Its settings that are not the default ones.
        sources: The data, empty for a task that draws its problems.
        faults: What is wrong with rows, in their order.
        notes: How the data was understood.
        num_problems: Problems by split.
        num_repeated: Rows, or problems of an endless task, that repeat a question.
        lengths: Step counts of full and skipped traces.
        checks: Verdicts on full traces; None where steps are not checked.
        worst: The problems with most invalid steps or, unchecked, with most steps.
        constants: What the most frequent answers earn.
        num_graded: Number of problems that these were graded on.
    """

    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    faults: tuple[RowFault, ...] = ()
    notes: tuple[str, ...] = ()
    num_problems: Mapping[str, int] = field(default_factory=dict)
    num_repeated: int = 0
    lengths: tuple[Length, ...] = ()
    checks: Checks | None = None
    worst: tuple[Worst, ...] = ()
    constants: tuple[Constant, ...] = ()
    num_graded: int = 0


def inspect(env: Env[Any], *, num_problems: int, progress: Progress | None = None) -> Inspection:
    """Look at all problems of a split with an end, and at the first `num_problems` of an endless one.

    Args:
        env: The task. Rows that loading left out are counted, if it tells them (`HasReport`).
        num_problems: Problems of an endless split.
        progress: Called with the number of problems done and their total.

    Raises:
        GraderError: The grader failed.
    """
    report = env.data_report if isinstance(env, HasReport) else None
    found = _Inspector(env, {} if report is None else report.left_out).inspect(num_problems, progress)
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


class _Inspector:
    """Collects figures over problems.

    Args:
        env: The task.
        left_out: Full traces that loading left out, by question.
    """

    def __init__(self, env: Env[Any], left_out: Mapping[str, tuple[str, ...]]) -> None:
        self._env = env
        self._left_out = left_out
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
        try:
            lines = env.full_trace(problem)
        except ValueError:  # it has none, or none that holds
            lines = self._left_out.get(problem.question, ())
        if not lines:
            return
        trace = env.check_demonstration(problem, lines)
        self._count(FULL, trace.num_steps)
        self._judge(problem, trace)
        for kind in env.skip_kinds:
            rng = derive_random("data check", env.name, kind, problem.split.value, problem.index)
            if skipped := env.skipped_trace(problem, kind, rng):
                count = env.check_demonstration(problem, skipped).num_steps
                self._count(kind, count)
                self._saved.setdefault(kind, [0, 0])
                self._saved[kind][0] += trace.num_steps - count
                self._saved[kind][1] += trace.num_steps

    def _count(self, kind: str, num_steps: int) -> None:
        self._lengths.setdefault(kind, Counter())[num_steps] += 1

    def _length(self, kind: str) -> Length:
        saved, of = self._saved.get(kind, (0, 0))
        return Length(
            kind=kind,
            counts=dict(sorted(self._lengths[kind].items())),
            saved_frac=saved / of if of else None,
        )

    def _judge(self, problem: Problem, trace: Trace) -> None:
        env, totals = self._env, self._totals
        where = env.where(problem) if isinstance(env, HasReport) else f"{problem.split} {problem.index}"
        if not env.checks_steps:
            shown = " ".join(problem.question.split())
            self._add_worst(Worst(where=where, num_steps=trace.num_steps, num_invalid=None, shown=shown))
            return
        invalid = [step for step in trace.steps if step.verdict is Verdict.INVALID]
        totals["traces"] += 1
        totals["steps"] += trace.num_steps
        totals["unchecked"] += sum(
            step.kind is StepKind.FORWARD and step.verdict is Verdict.UNCHECKED for step in trace.steps
        )
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
