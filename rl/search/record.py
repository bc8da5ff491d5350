"""The records of a search: what `search.jsonl` holds, a line for each problem, as types.

Every completion that was sampled for a problem is a `Draw`; equal texts of a problem are one `Response`. All
figures follow from these (`choose.py`, `summary.py`), for every depth, merge rule and budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs import Config
from rl.runs import json_fields as check
from rl.runs.analysis import read_settings
from rl.runs.errors import RunFolderError
from rl.runs.log import RowLog, damaged
from rl.runs.record import SECTIONS, Stage, of_format

FORMAT = 1
"""Version of the records; raise it with every change that an older reader would misread."""

PAGE = "search.html"
"""The page of a search in its folder."""

SELF_BACKTRACKING, VERIFIED_STATES = "self_backtracking", "verified_states"
"""The strategies, as the config names them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """A text that was sampled for a problem, judged.

    Attributes:
        text: The whole completion.
        complete: Whether it states an answer: a candidate.
        answer: The answer; None without one.
        correct: Whether the answer is right.
        verified: Whether it is right and every line holds; None where the task checks no steps.
        backtracks: Backtrack lines in it.
    """

    text: str
    complete: bool
    answer: str | None
    correct: bool
    verified: bool | None
    backtracks: int

    @property
    def passed(self) -> bool:
        """Whether it passes every check of its task."""
        return self.correct if self.verified is None else self.verified


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """A completion that was sampled.

    Attributes:
        round: Its round: 0 from the prompt alone, then one for each going back.
        state: Place of the state that it continues among the search's; 0 is the prompt alone.
        tokens: Tokens that were sampled; those of the state are not.
        score: Mean log-probability of all its tokens, in nats.
        response: Place of its text among the problem's responses.
    """

    round: int
    state: int
    tokens: int
    score: float
    response: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRow:
    """One search on a problem.

    Attributes:
        strategy: Of `search.strategies`.
        breadth: N.
        states: Text of each state that was expanded, in order; the first is empty.
        draws: Completions, in the order in which they count against a budget.
    """

    strategy: str
    breadth: int
    states: tuple[str, ...]
    draws: tuple[Draw, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemRow:
    """Everything that was sampled for a problem.

    Attributes:
        split: Its split.
        index: Its index in the split.
        bucket: Its difficulty bucket; None where the task has none.
        question: Its question.
        answer: Its answer.
        responses: The texts that were sampled, each once.
        greedy: The greedy completion; None if it could not be graded.
        samples: Completions from the prompt alone, for the methods without going back: at least as many tokens
            as the longest search took.
        searches: The searches.
        symbolic_tokens: Tokens that the task's own systematic search takes when it is written down up to the
            solution; None where the task has none, or finds none within its limit.
        symbolic_steps: Steps that it tries.
    """

    split: str
    index: int
    bucket: str | None
    question: str
    answer: str
    responses: tuple[Response, ...]
    greedy: Draw | None
    samples: tuple[Draw, ...]
    searches: tuple[SearchRow, ...]
    symbolic_tokens: int | None = None
    symbolic_steps: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it."""
        return self.split, self.index

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object; draws are lists, as there are many."""
        data = asdict(self)
        data["greedy"] = None if self.greedy is None else _plain(self.greedy)
        data["samples"] = [_plain(draw) for draw in self.samples]
        data["searches"] = [
            {**asdict(one), "draws": [_plain(draw) for draw in one.draws]} for one in self.searches
        ]
        return {"format": FORMAT, **data}

    @classmethod
    def from_json(cls, data: Any) -> ProblemRow:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        return _read_problem(of_format(data, FORMAT, "a search"))


def _plain(draw: Draw) -> list[float]:
    return [draw.round, draw.state, draw.tokens, draw.score, draw.response]


def _read_draw(value: Any) -> Draw:
    if type(value) is not list or len(value) != 5:
        raise check.RecordError(f"{check.shown(value)} is no draw")
    number, state, tokens, score, response = value
    return Draw(
        round=check.integer(number),
        state=check.integer(state),
        tokens=check.integer(tokens),
        score=check.number(score),
        response=check.integer(response),
    )


_PLAIN: Mapping[str, check.Check] = {
    "str": check.text,
    "int": check.integer,
    "bool": check.flag,
    "str | None": check.optional(check.text),
    "int | None": check.optional(check.integer),
    "bool | None": check.optional(check.flag),
    "tuple[str, ...]": check.several(check.text),
    "Draw | None": check.optional(_read_draw),
    "tuple[Draw, ...]": check.several(_read_draw),
}
_read_problem = check.record(
    ProblemRow,
    {
        **_PLAIN,
        "tuple[Response, ...]": check.several(check.record(Response, _PLAIN)),
        "tuple[SearchRow, ...]": check.several(check.record(SearchRow, _PLAIN)),
    },
)


def problem_log(folder: Path) -> RowLog[ProblemRow]:
    """The rows of a search."""
    return RowLog(folder / "search.jsonl", ProblemRow)


def searched_stages(config: Config) -> tuple[Stage, ...]:
    """The stages of a run that are searched with under `eval.search`: those it trains, else its base.

    A base that is trained further is the model of another run, which many may share (the seeds of an
    ablation): `stride search` and `stride evaluate` search with it once. Random weights are not searched with.
    """
    if not config.eval.search:
        return ()
    trained = tuple(stage for stage, section in SECTIONS.items() if getattr(config, section) is not None)
    return trained or (() if config.policy.model == "tiny" else (Stage.BASE,))


def stage_folder(run: Path, stage: Stage) -> Path:
    """The search of an evaluated stage of a run (`eval.search`), as `stride search` writes one."""
    return run / "eval" / f"{stage}-search"


def stage_settings(run: Path, stage: Stage) -> Mapping[str, Any]:
    """The section `search` by which a stage was searched.

    Raises:
        DamagedFileError: `search.json` is missing, or does not say it.
    """
    folder = stage_folder(run, stage)
    try:
        found = read_settings(folder, "search").get("search")
    except RunFolderError:
        found = None
    if not isinstance(found, dict) or not {"merge", "depth"} <= found.keys():
        raise damaged(folder / "search.json", "it does not say how was searched")
    return found


def has_search(folder: Path) -> bool:
    """Whether a folder holds a search that has begun."""
    return problem_log(folder).path.is_file()


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a whole search: its page is written last."""
    return has_search(folder) and (folder / PAGE).is_file()


def in_order(rows: Sequence[ProblemRow]) -> list[ProblemRow]:
    """The rows by split, in the order in which splits first come, then by index."""
    splits = {split: place for place, split in enumerate(dict.fromkeys(row.split for row in rows))}
    return sorted(rows, key=lambda row: (splits[row.split], row.index))
