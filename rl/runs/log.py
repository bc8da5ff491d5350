"""The JSON files that a run writes while it goes, and the one place that reads them.

In: records (`record.py`). Out: one JSON object on each line of `metrics.jsonl` and `eval/*.jsonl`, one object
in `summary.json`; and the same records back. Resuming, reports, comparisons, ablations and the viewer all
read through here, so that a file of another format or a damaged row is refused in the same words
everywhere. What grows with every update is not JSON (`trajectories.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import numpy as np
import yaml

from rl.runs.errors import DamagedFileError, OtherFormatError, RunFolderError
from rl.runs.files import set_aside, sync_folder
from rl.runs.record import FORMAT, FormatError, SampleRow, Stage, StepRow, Summary, UpdateRow

if TYPE_CHECKING:  # readers of a run need not import torch
    from rollout.encoder import Encoder
    from rollout.types import RolloutGroup


class JsonRow(Protocol):
    """A record that is one line of a file."""

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        ...

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The row of a JSON object.

        Raises:
            FormatError: It has a format that is not read.
            RecordError: It is no such row.
        """
        ...


Row = TypeVar("Row", bound=JsonRow)
StageRow = TypeVar("StageRow", SampleRow, UpdateRow)
T = TypeVar("T")
_TAIL = 1 << 16

_BLANK = b"\0 \t\r\n"


class RowLog(Generic[Row]):
    """A file of rows of one type."""

    def __init__(self, path: Path, kind: type[Row]) -> None:
        self.path = path
        self._kind: type[Row] = kind

    def append(self, *rows: Row) -> None:
        """Add rows at the end."""
        with self.path.open("a") as file:
            file.writelines(json.dumps(row.to_json()) + "\n" for row in rows)

    def read(self, *, tokens: bool = True) -> list[Row]:
        """All rows; a last line cut off by a kill is left out.

        Args:
            tokens: Whether to read the tokens of completions, which are most of a row.

        Raises:
            RunFolderError: The file cannot be read, has another format or a damaged row.
        """
        return [self.parse(line, number, tokens=tokens) for number, line in self._numbered()]

    def parse(self, line: bytes, number: int | None = None, *, tokens: bool = True) -> Row:
        """The row of a line of this file.

        Args:
            line: The line.
            number: Its number in the file, from 1, for the message; None where it is not known.
            tokens: As for `read`.

        Raises:
            RunFolderError: It has another format or is damaged.
        """
        try:
            return self._kind.from_json(json.loads(line if tokens else without_tokens(line)))
        except FormatError as error:
            raise other_format(self.path, error) from None
        except (ValueError, RecursionError) as error:
            where = "its last row" if number is None else f"row {number}"
            raise damaged(self.path, f"{where} is damaged ({error})") from None

    def mend(self) -> str:
        """Set a file with damaged rows aside and go on with the others; what a kill has cut off goes.

        Returns:
            A line about it; empty where no row is damaged.

        Raises:
            OtherFormatError: A row has a format that is not read.
        """
        if not self.path.exists():
            return ""
        kept, lost = [], []
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not (text := line.strip(_BLANK)):
                    continue
                try:
                    self.parse(text, number, tokens=False)
                except DamagedFileError:
                    if line.endswith(b"\n"):  # else a kill has cut it off
                        lost.append(number)
                else:
                    kept.append(text + b"\n")
        whole = b"".join(kept)
        if whole == self.path.read_bytes():
            return ""
        aside = set_aside(self.path) if lost else None
        self._replace(whole)
        if aside is None:
            return ""
        rows = f"row{'s' * (len(lost) > 1)} {', '.join(map(str, lost[:5]))}{', ...' if len(lost) > 5 else ''}"
        return (
            f"{self.path}: {rows} damaged, and left out; the other {len(kept)} go on, and the file as it "
            "was is "
            f"{aside.name}"
        )

    def last(self) -> Row | None:
        """The last whole row, read from the end of the file; None without one.

        Raises:
            RunFolderError: As `read`.
        """
        lines = [line for line in read_tail(self.path).split(b"\n")[:-1] if line.strip()]
        return self.parse(lines[-1]) if lines else None

    def keep(self, wanted: Callable[[Row], bool]) -> None:
        """Drop the rows that are not wanted, and what a kill has cut off.

        Raises:
            RunFolderError: As `read`.
        """
        if not self.path.exists():
            return
        kept = []
        for number, line in self._numbered():
            if wanted(self.parse(line, number, tokens=False)):
                kept.append(line + b"\n")
        self._replace(b"".join(kept))

    def replace(self, rows: Iterable[Row]) -> None:
        """Write these rows in place of all that the file holds, atomically."""
        self._replace("".join([json.dumps(row.to_json()) + "\n" for row in rows]).encode())

    def _replace(self, content: bytes) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        sync_folder(self.path.parent)

    def check_format(self) -> None:
        """Refuse a file of another format by its first row that is not damaged.

        Raises:
            OtherFormatError: It has a format that is not read.
        """
        for number, line in self._numbered():
            try:
                self.parse(line, number, tokens=False)
            except DamagedFileError:
                continue
            return

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        """The whole lines that are not empty, with their numbers from 1.

        NULs, which a power cut can leave in place of text, count as nothing.
        """
        if not self.path.exists():
            return
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.endswith(b"\n") and (text := line.strip(_BLANK)):
                        yield number, text
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be read: {error.strerror or error}") from None


class StageLog(RowLog[StageRow]):
    """A file of rows that each belong to a `stage` and an `update`."""

    def forget_after(self, stage: Stage, update: int) -> None:
        """Drop the rows of `stage` beyond `update`: a resumed run writes them again.

        Raises:
            RunFolderError: As `read`.
        """
        self.keep(lambda row: row.stage is not stage or row.update <= update)


def read_tail(path: Path) -> bytes:
    """The last 64 KiB of a file; nothing where there is none. A row of metrics has about one thousand bytes."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return file.read()
    except FileNotFoundError:
        return b""


def metrics_log(folder: Path) -> StageLog[UpdateRow]:
    """The updates of a run."""
    return StageLog(folder / "metrics.jsonl", UpdateRow)


def evaluation_log(folder: Path, stage: Stage, *, greedy: bool = True) -> StageLog[SampleRow]:
    """The completions of a stage's evaluation, greedy or sampled."""
    return StageLog(folder / "eval" / f"{stage}{'' if greedy else '-sampled'}.jsonl", SampleRow)


def read_summary(folder: Path) -> Summary:
    """The `summary.json` of a run folder; empty where there is none.

    Raises:
        RunFolderError: It cannot be read, has another format or is damaged.
    """
    path = folder / "summary.json"
    if not path.exists():
        return Summary()

    def read() -> Summary:
        data = json.loads(path.read_text())
        old = isinstance(data, dict) and data.get("format") != FORMAT
        return Summary.from_json(data, env=_env_name(folder / "config.yaml") if old else "")

    return readable(path, read)


def _env_name(config: Path) -> str:
    """`env.name` of a run; empty where it cannot be read."""
    try:
        found = yaml.safe_load(config.read_text())
        return str(found["env"]["name"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return ""


def readable(path: Path, read: Callable[[], T]) -> T:
    """Read a file of a run with `read`.

    Raises:
        RunFolderError: It cannot be read, has another format or is damaged.
    """
    try:
        return read()
    except FormatError as error:
        raise other_format(path, error) from None
    except (ValueError, OSError, RecursionError) as error:
        raise damaged(path, str(error)) from None


def without_tokens(line: bytes) -> bytes:
    """A line without the texts and log-probabilities of its tokens, or as it is where they are not found.

    `json.dumps` writes a quotation mark within a text as backslash and mark, so the ends looked for here can
    only be those of a row's own keys.
    """
    start, middle = line.find(b', "pieces": ["'), line.find(b'"], "logprobs": [')
    if 0 <= start < middle:
        return line[:start] + line[line.index(b"]", middle + 2) + 1 :]
    return line


def sample_rows(
    stage: Stage,
    update: int,
    group: RolloutGroup,
    encoder: Encoder,
    advantages: Sequence[float | tuple[float, ...]] | None = None,
    *,
    tokens: bool = True,
) -> list[SampleRow]:
    """The rows of a group, one for each completion.

    Args:
        stage: Stage of the run.
        update: Update it was sampled for.
        group: The group.
        encoder: Gives the text of the prompt and of each token.
        advantages: One for each sample, or one for each of its tokens; None where the group is not trained on.
        tokens: Keep the text and the log-probability of each token.
    """
    problem = group.problem
    rendered = encoder.show(group.prompt_ids)
    return [
        SampleRow(
            stage=stage,
            update=update,
            group=group.group_id,
            sample=number,
            env=f"{problem.env}/{problem.part}" if problem.part else problem.env,
            split=problem.split.value,
            index=problem.index,
            prompt=problem.prompt,
            rendered_prompt=rendered if number == 0 and rendered != problem.prompt else None,
            answer=problem.answer,
            full_steps=problem.num_full_steps,
            text=sample.text,
            stated=sample.trace.answer,
            form=None if sample.trace.form is None else sample.trace.form.value,
            outcome=sample.score.outcome,
            reward=sample.score.total,
            parts=sample.score.parts,
            tokens=len(sample.completion.ids),
            weight_version=sample.completion.weight_version,
            steps_checked=sample.trace.steps_checked,
            pieces=tuple(encoder.pieces(sample.completion.ids)) if tokens else None,
            logprobs=tuple(np.round(sample.completion.logprobs, 4).tolist()) if tokens else None,
            advantage=None if advantages is None else advantages[number],
            steps=tuple(map(StepRow.of, sample.trace.steps, sample.facts or repeat(None))),
        )
        for number, sample in enumerate(group.samples)
    ]


def other_format(path: Path, error: FormatError) -> OtherFormatError:
    """The refusal of a file of a format that is not read."""
    return OtherFormatError(
        f"{path} has {error}; read it with the version that wrote it (stride and git_revision in "
        "provenance.json), or start the run again in another folder"
    )


def damaged(path: Path, why: str) -> DamagedFileError:
    """The refusal of a file that cannot be read."""
    return DamagedFileError(
        f"{path} cannot be read: {why}; restore it, or continue the run with --resume, which sets it aside"
    )
