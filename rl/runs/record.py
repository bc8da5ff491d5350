"""The records of a run: what its files hold, as types.

::

    eval/*.jsonl                             one `SampleRow` per line: a completion
    trajectories/, eval/during/              one `SampleRow` per row of a Parquet file
    metrics.jsonl                            one `UpdateRow` per line: an optimiser update
    summary.json                             a `Summary`: a `SplitResult` for each stage and split

`to_json` and `from_json` are the only places that know the keys in JSON, `tables.py` those of Parquet. The
objects stay flat, so that pandas reads the files as tables; each row, the summary and each Parquet file carry
the number of the format. `log.py` reads and writes JSON, `trajectories.py` Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from envs import Step, StepKind, Verdict
from envs.line_facts import LineFacts, LineUse
from envs.trace import AnswerForm
from rewards import Outcome
from rl.runs import json_fields as check
from rl.runs.json_fields import RecordError
from rl.runs.older_formats import sample_of_today, summary_of_today

FORMAT = 3
"""Version of the records. Raise it with every change that an older reader would misread; `older_formats.py`
then says how those of before are read."""


class FormatError(RecordError):
    """A record of another format than this version reads; the message says which."""

    @classmethod
    def of(cls, found: str | None) -> FormatError:
        """The error for the format found, as text; None: there is none."""
        has = "no format number" if found is None else f"format {found}"
        return cls(f"{has}, and this version of Stride reads formats 1 to {FORMAT}")


def of_format(data: Any, number: int, what: str) -> dict[str, Any]:
    """A JSON object that is a row of this format.

    Args:
        data: What was read.
        number: The format.
        what: What has such rows, for the message.

    Raises:
        FormatError: It has another format.
        RecordError: It is no row.
    """
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise RecordError(f"it is no row of {what}")
    if data["format"] != number:
        raise FormatError(f"format {data['format']}, and this version of Stride reads format {number}")
    return data


class Stage(StrEnum):
    """A stage of a run, in the order in which they follow each other."""

    BASE = "base"
    WARM = "warm"
    KEY_STEPS = "key_steps"
    GRPO = "grpo"

    @property
    def label(self) -> str:
        """The stage's name on pages and in tables."""
        return _LABELS[self]


_LABELS = {Stage.BASE: "base", Stage.WARM: "warm start", Stage.KEY_STEPS: "key steps", Stage.GRPO: "GRPO"}

SECTIONS = {Stage.WARM: "warm_start", Stage.KEY_STEPS: "key_steps", Stage.GRPO: "grpo"}
"""The stages that train, in order, with their sections of the config; a stage whose section is null is left
out."""


def planned_stages(config: Mapping[str, Any]) -> dict[Stage, int]:
    """The stages that a resolved config trains, as plain data, with their updates."""
    found = {stage: config.get(section) for stage, section in SECTIONS.items()}
    return {stage: int(section.get("updates", 0)) for stage, section in found.items() if section}


class StepRow(NamedTuple):
    """One line of reasoning in a `SampleRow`; a named tuple, since a file may hold a million.

    Attributes:
        text: The line.
        kind: Forward, backtrack or marker.
        verdict: The environment's verdict.
        reason: Why the step is invalid; empty otherwise.
        undone: Whether a later backtrack took it back.
        progress: How many elementary lines nearer the end it leads (`LineFacts.progress`): minus infinity into
            a dead end, infinity out of it; None if unknown or not recorded.
        use: Of what use it is; None if not recorded.
    """

    text: str
    kind: StepKind
    verdict: Verdict
    reason: str
    undone: bool
    progress: float | None = None
    use: LineUse | None = None

    @classmethod
    def of(cls, step: Step, fact: LineFacts | None) -> StepRow:
        """The row of a step and of what is known of it, if that was asked for."""
        known = (None, None) if fact is None else (fact.progress, fact.use)
        return cls(step.text, step.kind, step.verdict, step.reason, step.undone, *known)

    def to_json(self) -> dict[str, Any]:
        """The step as a JSON object."""
        return {
            "text": self.text,
            "kind": self.kind.value,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "undone": self.undone,
            **({} if self.progress is None else {"progress": self.progress}),
            **({} if self.use is None else {"use": self.use.value}),
        }


_kind = check.one_of(StepKind)
_verdict = check.one_of(Verdict)
_progress = check.optional(check.number)
_use = check.optional(check.one_of(LineUse))


def _step(data: Any) -> StepRow:
    try:
        return StepRow(
            check.text(data["text"]),
            _kind(data["kind"]),
            _verdict(data["verdict"]),
            check.text(data["reason"]),
            check.flag(data["undone"]),
            _progress(data.get("progress")),
            _use(data.get("use")),
        )
    except KeyError as error:
        raise RecordError(f"a step has no {error}") from None
    except TypeError:
        raise RecordError(f"{check.shown(data)} is not a step") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRow:
    """One completion: the problem, what the model wrote and how it was scored.

    Attributes:
        stage: Stage that sampled it.
        update: Update it was sampled for, from 1; 0 in an evaluation.
        group: Number of its group.
        sample: Its number in the group.
        env: Name of the environment.
        split: Split of the problem.
        index: Index of the problem in its split.
        prompt: The task's own prompt for the problem.
        answer: The right answer.
        full_steps: Steps of the full trace.
        text: The completion as text.
        stated: The answer it states, or None.
        outcome: How it was graded.
        reward: Total reward.
        parts: Weighted value of each reward term.
        tokens: Number of completion tokens, stop token included.
        weight_version: Updates behind the weights that sampled it.
        steps_checked: Whether the task checks steps; otherwise they are counted.
        steps: Its lines before the closing one.
        pieces: Text of each token; None where the run or the reader left tokens out.
        logprobs: Log-probability of each token under the sampler, rounded to 4 digits; None as `pieces`.
        advantage: The advantage it was trained with, or one for each token (their mean where tokens were left
            out of a Parquet file); None where it was not trained on.
        form: How the answer is stated (`envs.answers`); None where none is.
        rendered_prompt: The prompt as the model got it, with chat template, examples and prefill. The first
            sample of a group has it, if it is not `prompt` itself.
    """

    stage: Stage
    update: int
    group: int
    sample: int
    env: str
    split: str
    index: int
    prompt: str
    answer: str
    full_steps: int
    text: str
    stated: str | None
    outcome: Outcome
    reward: float
    parts: Mapping[str, float]
    tokens: int
    weight_version: int
    steps_checked: bool
    steps: tuple[StepRow, ...]
    pieces: tuple[str, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    advantage: float | tuple[float, ...] | None = None
    rendered_prompt: str | None = None
    form: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        return self.outcome in (Outcome.VERIFIED, Outcome.CORRECT)

    @property
    def strictly_correct(self) -> bool:
        """Whether the answer is right and stated in the task's own form, the closing line."""
        return self.correct and self.form in (None, AnswerForm.CLOSING_LINE)

    @property
    def num_steps(self) -> int:
        """Steps written: undone ones and markers of free text included, backtrack lines not."""
        return sum([step.kind is not StepKind.BACKTRACK for step in self.steps])

    @property
    def num_backtracks(self) -> int:
        """Backtrack lines and markers of free text."""
        return sum([step.kind is not StepKind.FORWARD for step in self.steps])

    @property
    def num_invalid(self) -> int:
        """Steps the environment refused, undone ones included."""
        return sum([step.verdict is Verdict.INVALID for step in self.steps])

    @property
    def num_wasted(self) -> int:
        """Steps that a later backtrack took back."""
        return sum([step.undone for step in self.steps])

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {
            "format": FORMAT,
            "stage": self.stage.value,
            "update": self.update,
            "group": self.group,
            "sample": self.sample,
            "env": self.env,
            "split": self.split,
            "index": self.index,
            "prompt": self.prompt,
            **({} if self.rendered_prompt is None else {"rendered_prompt": self.rendered_prompt}),
            "answer": self.answer,
            "full_steps": self.full_steps,
            "text": self.text,
            "stated": self.stated,
            **({} if self.form is None else {"form": self.form}),
            "outcome": self.outcome.value,
            "reward": self.reward,
            "parts": dict(self.parts),
            "tokens": self.tokens,
            "weight_version": self.weight_version,
            "steps_checked": self.steps_checked,
            **({} if self.pieces is None else {"pieces": list(self.pieces)}),
            **({} if self.logprobs is None else {"logprobs": list(self.logprobs)}),
            **({} if self.advantage is None else {"advantage": self.advantage}),
            "steps": [step.to_json() for step in self.steps],
        }

    @classmethod
    def from_json(cls, data: Any) -> SampleRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        old = check_format(data) < FORMAT
        return _read_sample(sample_of_today(data) if old else data)


def _advantage(value: Any) -> float | tuple[float, ...]:
    found: float | tuple[float, ...] = _numbers(value) if type(value) is list else check.number(value)
    return found


_numbers = check.several(check.number)
_read_sample = check.record(
    SampleRow,
    {
        "Stage": check.one_of(Stage),
        "Outcome": check.one_of(Outcome),
        "bool": check.flag,
        "int": check.integer,
        "float": check.number,
        "str": check.text,
        "str | None": check.optional(check.text),
        "Mapping[str, float]": check.mapping(check.number),
        "tuple[StepRow, ...]": check.several(_step),
        "tuple[str, ...] | None": check.optional(check.several(check.text)),
        "tuple[float, ...] | None": check.optional(_numbers),
        "float | tuple[float, ...] | None": check.optional(_advantage),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateRow:
    """The metrics of one optimiser update.

    Example: `UpdateRow(stage=Stage.GRPO, update=3, metrics={"reward": 0.4, "accuracy": 0.5})`

    Attributes:
        stage: The stage that trains.
        update: Number of the update, from 1.
        metrics: Numbers by name (`rl/grpo/metrics.py`); in JSON they stand beside `stage` and `update`.
    """

    stage: Stage
    update: int
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The row as a flat JSON object."""
        return {"format": FORMAT, "stage": self.stage.value, "update": self.update, **self.metrics}

    @classmethod
    def from_json(cls, data: Any) -> UpdateRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        check_format(data)
        rest = {name: value for name, value in data.items() if name not in ("format", "stage", "update")}
        metrics = {"metrics": rest}
        return _read_update({name: data[name] for name in ("stage", "update") if name in data} | metrics)


_read_update = check.record(
    UpdateRow,
    {
        "Stage": check.one_of(Stage),
        "int": check.integer,
        "Mapping[str, float]": check.mapping(check.number),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketResult:
    """How a policy does on one difficulty bucket of a split; fields as in `SplitResult`.

    Attributes:
        backtracks_per_correct: Mean backtracks over correct answers; with `steps_per_correct` all their lines.
    """

    num_problems: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    errors: dict[str, float]
    steps_per_correct: float | None = None
    backtracks_per_correct: float | None = None
    straight_back: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthResult:
    """How a policy does on a split if its completions are cut off at a length limit.

    A completion that is longer than the limit is cut off there and has no answer. Fields as in `SplitResult`.
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    tokens: float
    truncated: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitResult:
    """How a policy does on one split.

    The figures are those of the greedy completions; where there are none, those of all samples. Names with
    `sampled` and pass@k are always of samples. Figures per correct answer are None where no answer is correct.
    Figures that judge steps (`JUDGING`) are of the completions whose steps are checked, and None without any.
    Kinds of backtracks are also None where a result was computed again from rows, which do not say them.

    Attributes:
        num_problems: Problems evaluated.
        skipped: Problems left out because their prompts are too long (`rollout.long_prompts`).
        ungraded: Greedy and sampled completions left out because a grader failed on them.
        accuracy: Share answered correctly.
        accuracy_low: Lower end of its 95 % interval (Wilson's; clustered by problem where there are samples).
        accuracy_high: Upper end.
        verified: Share answered correctly with no step invalid.
        steps_per_correct: Mean steps over correct answers.
        full_steps_per_correct: Mean steps of the full traces of the same problems.
        full_steps: Mean steps of the full traces of all problems.
        steps_saved: Mean of 1 - steps / full steps over correct answers.
        invalid_steps: Invalid steps per trace.
        backtracks: Backtracks per trace.
        real_backtracks: Backtracks per trace that restored a state and then took another branch.
        fake_backtracks: The other backtracks, per trace.
        needed_backtracks: Backtracks per trace that left a branch from which the end could not be reached.
        needless_backtracks: Backtracks per trace that left a branch from which the end could be reached.
        backtrack_depth: Mean number of lines a valid backtrack took back; None without one.
        wasted_steps: Steps later undone, per trace.
        tokens: Completion tokens per trace.
        truncated: Share cut off at the length limit.
        greedy: Whether the figures are those of greedy decoding.
        sampled_accuracy: Share of all samples that are correct (mean@k); None without samples.
        sampled_steps_per_correct: Mean steps over correct samples.
        pass_at_k: Chance that at least one of k samples is correct, for k = 1, 2, 4, ... up to the number of
            samples; unbiased (Chen et al., arXiv 2107.03374, equation 1).
        errors: Share of problems by the kind of the trace's first error, where the task names one
            (`Env.first_error`).
        buckets: Results by difficulty bucket, where the split has several.
        by_length: Results by length limit in tokens, the shortest first; the last is the evaluation's own.
        strict_accuracy: Share answered correctly in the task's own form, the closing line. None in results of
            versions that read no other form.
        merged_lines: Share of lines that do more than one elementary step, among the valid lines that stand in
            verified traces; None where no line can, or no trace is verified.
        needed_lines: Share of lines that are needed (`envs/line_facts.py`), among all lines whose use is known,
            backtracks included; None where it is of none, and in results of versions that did not know it.
        skippable_lines: Share of lines that could be left out.
        wasted_lines: Share of lines that a backtrack took back or that lead no nearer the end, and of needless
            backtracks.
        wrong_lines: Share of invalid lines.
        straight_back: Share of the backtracks from a dead end that led out of it (`straight_backs` in
            `envs/faults.py`); None where none came from one, and in results of versions that did not know it.
        empty_thoughts: Share of completions that state an answer without a step before it. None in results of
            versions that did not count them.
        empty_by_difficulty: The same by difficulty bucket, or by the problems' difficulty where the task has no
            buckets, the easiest first; None where no thought is empty, or there is one difficulty.
    """

    num_problems: int
    skipped: int
    ungraded: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    verified: float | None
    steps_per_correct: float | None
    full_steps_per_correct: float | None
    full_steps: float
    steps_saved: float | None
    invalid_steps: float | None
    backtracks: float
    real_backtracks: float | None
    fake_backtracks: float | None
    needed_backtracks: float | None
    needless_backtracks: float | None
    backtrack_depth: float | None
    wasted_steps: float | None
    tokens: float
    truncated: float
    greedy: bool
    sampled_accuracy: float | None
    sampled_steps_per_correct: float | None
    pass_at_k: dict[str, float]
    errors: dict[str, float]
    buckets: dict[str, BucketResult]
    by_length: dict[str, LengthResult]
    strict_accuracy: float | None = None
    merged_lines: float | None = None
    needed_lines: float | None = None
    skippable_lines: float | None = None
    wasted_lines: float | None = None
    wrong_lines: float | None = None
    straight_back: float | None = None
    empty_thoughts: float | None = None
    empty_by_difficulty: dict[str, float] | None = None

    @property
    def steps_checked(self) -> bool:
        """Whether steps of some completions were checked; otherwise they were counted."""
        return self.verified is not None

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> SplitResult:
        """The result of a JSON object.

        Raises:
            RecordError: It is no result.
        """
        return _read_result(data)


JUDGING = (
    *("verified", "steps_saved", "merged_lines", "invalid_steps", "wasted_steps"),
    *("backtrack_depth", "straight_back"),
    *(f"{kind}_backtracks" for kind in ("real", "fake", "needed", "needless")),
    *(f"{use}_lines" for use in ("needed", "skippable", "wasted", "wrong")),
)
"""Figures of a `SplitResult` that judge steps: None where steps are only counted."""

_FIGURES: dict[str, check.Check] = {
    "bool": check.flag,
    "int": check.integer,
    "float": check.number,
    "float | None": check.optional(check.number),
    "dict[str, float]": check.mapping(check.number),
    "dict[str, float] | None": check.optional(check.mapping(check.number)),
}
_read_bucket = check.record(BucketResult, _FIGURES)
_read_length = check.record(LengthResult, _FIGURES)
_read_result = check.record(
    SplitResult,
    {
        **_FIGURES,
        "dict[str, BucketResult]": check.mapping(_read_bucket),
        "dict[str, LengthResult]": check.mapping(_read_length),
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BestModel:
    """The best model that the evaluations during GRPO have met.

    Attributes:
        update: The update after which it was evaluated.
        metric: What decides, `eval.best`.
        split: Split of the problems it was judged on.
        num_problems: How many they are.
        accuracy: Its accuracy on them.
        verified: Share of them it answers correctly with no step invalid; None where steps are not checked.
        steps_per_correct: Its mean steps over correct answers; None without one.
        highest_accuracy: The highest accuracy of any evaluation until then.
    """

    update: int
    metric: str
    split: str
    num_problems: int
    accuracy: float
    verified: float | None
    steps_per_correct: float | None
    highest_accuracy: float


_read_best = check.record(BestModel, {**_FIGURES, "str": check.text})


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The results of a run so far; empty at its start.

    Attributes:
        stages: Results by evaluated stage and split.
        updates: Updates by trained stage.
        train_s: Seconds of training by stage, resumed parts added up.
        eval_s: Seconds of evaluation by stage.
        best: The best model by the evaluations during GRPO; None without one.
        stopped: The update after which early stopping ended GRPO; None if it did not.
        warnings: What a reader of the results must know, as the run said it at its start; a sentence each.
    """

    stages: Mapping[Stage, Mapping[str, SplitResult]] = field(default_factory=dict)
    updates: Mapping[Stage, int] = field(default_factory=dict)
    train_s: Mapping[Stage, float] = field(default_factory=dict)
    eval_s: Mapping[Stage, float] = field(default_factory=dict)
    best: BestModel | None = None
    stopped: int | None = None
    warnings: tuple[str, ...] = ()

    def done(self, stage: Stage, updates: int = 0) -> bool:
        """Whether a stage was trained for at least so many updates, or stopped early, and then evaluated."""
        if stage is Stage.GRPO and self.stopped is not None:
            updates = min(updates, self.stopped)
        return stage in self.stages and self.updates.get(stage, 0) >= updates

    def with_results(self, stage: Stage, results: Mapping[str, SplitResult], seconds: float) -> Summary:
        """The summary after a stage was evaluated."""
        return replace(self, stages={**self.stages, stage: results}, eval_s={**self.eval_s, stage: seconds})

    def with_training(self, stage: Stage, updates: int, seconds: float) -> Summary:
        """The summary after a stage was trained to `updates`, for so many seconds more; not evaluated yet."""
        total = self.train_s.get(stage, 0.0) + seconds
        return replace(
            self,
            stages={name: results for name, results in self.stages.items() if name is not stage},
            updates={**self.updates, stage: updates},
            train_s={**self.train_s, stage: total},
        )

    def with_best(self, best: BestModel) -> Summary:
        """The summary after an evaluation during GRPO."""
        return replace(self, best=best)

    def with_stop(self, update: int | None) -> Summary:
        """The summary after early stopping at an update; None: GRPO goes on after all."""
        return replace(self, stopped=update)

    def to_json(self) -> dict[str, Any]:
        """The summary as a JSON object."""
        return {
            "format": FORMAT,
            "stages": {
                stage.value: {split: result.to_json() for split, result in results.items()}
                for stage, results in self.stages.items()
            },
            "updates": {stage.value: updates for stage, updates in self.updates.items()},
            "seconds": {
                **{stage.value: seconds for stage, seconds in self.train_s.items()},
                **{f"{_EVAL}{stage}": seconds for stage, seconds in self.eval_s.items()},
            },
            **({} if self.best is None else {"best": asdict(self.best)}),
            **({} if self.stopped is None else {"stopped": self.stopped}),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
        }

    @classmethod
    def from_json(cls, data: Any, *, env: str = "") -> Summary:
        """The summary of a JSON object.

        Args:
            data: The object.
            env: `env.name` of the run, by which results of older formats are read.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no summary.
        """
        if check_format(data) < FORMAT:
            data = summary_of_today(data, env)
        for name in ("stages", "updates", "seconds"):
            if name not in data:
                raise RecordError(f"it has no {name!r}")
        seconds = check.mapping(check.number)(data["seconds"])
        evaluation = {name.removeprefix(_EVAL): s for name, s in seconds.items() if name.startswith(_EVAL)}
        training = {name: s for name, s in seconds.items() if not name.startswith(_EVAL)}
        return cls(
            stages=_by_stage(check.mapping(check.mapping(_read_result))(data["stages"])),
            updates=_by_stage(check.mapping(check.integer)(data["updates"])),
            train_s=_by_stage(training),
            eval_s=_by_stage(evaluation),
            best=check.optional(_read_best)(data.get("best")),
            stopped=check.optional(check.integer)(data.get("stopped")),
            warnings=check.several(check.text)(data.get("warnings", [])),
        )


_EVAL = "eval_"  # before a stage among the seconds of `summary.json`


def _by_stage(found: Mapping[str, Any]) -> dict[Stage, Any]:
    """The same values by stage, in the order of the stages."""
    named = {check.one_of(Stage)(name): value for name, value in found.items()}
    return {stage: named[stage] for stage in Stage if stage in named}


def check_format(data: Any) -> int:
    """The format of an object that this version reads.

    Raises:
        FormatError: It names none, or one that is not read.
        RecordError: It is no object.
    """
    if type(data) is not dict:
        raise RecordError(f"{check.shown(data)} is not a JSON object")
    found = data.get("format")
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise FormatError.of(None if found is None else check.shown(found))
    return found
