"""Runs the parts of the GPU run one after another, each in a process of its own with a deadline.

In: names of parts and a budget in seconds. Out: a `PartResult` for each, whatever became of it. The most
important part comes first. A part that fails, hangs or runs out of memory loses its own remaining figures only,
and what a part leaves of its time goes to those after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.bench.gpu.figure import Figure, Setting

PARTS = {
    "machine": 20,
    "graphs": 50,
    "logprobs": 60,
    "suite": 70,
    "sampling": 135,
    "lora": 40,
    "update": 80,
    "smollm2": 125,
}
"""Parts in the order in which they run, with their seconds."""

BUDGET_S = float(sum(PARTS.values()))  # and what the last part takes to stop: within ten minutes
_GRACE_S = 10.0  # between SIGTERM and SIGKILL
_LOG_CHARACTERS = 4000
_ROOT = Path(__file__).resolve().parents[3]

Command = Callable[[str, Setting, Path], list[str]]
"""The command of a part: its name, the setting, and the file that its figures go to."""


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """What became of a part.

    Attributes:
        part: Its name.
        state: "done", "skipped", "failed" or "out of time".
        reason: Why it was skipped or failed.
        seconds: How long it ran.
        figures: What it measured before it ended.
        log: The end of its output if it failed or ran out of time.
    """

    part: str
    state: str
    reason: str
    seconds: float
    figures: tuple[Figure, ...]
    log: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was not cut short and all its figures are within their bounds."""
        return self.state in ("done", "skipped") and all(f.passed is not False for f in self.figures)


def child_command(part: str, setting: Setting, out: Path) -> list[str]:
    """The process that measures a part."""
    tiny = ["--tiny"] if setting.tiny else []
    return [sys.executable, "-m", "rl.bench.gpu.child", part, str(out), "--device", setting.device, *tiny]


def run_parts(
    parts: Sequence[str],
    setting: Setting,
    *,
    budget_s: float = BUDGET_S,
    say: Callable[[str], None] = lambda line: None,
    command: Command = child_command,
) -> list[PartResult]:
    """Run parts within a budget.

    Args:
        parts: Names in `PARTS`, in order.
        setting: Device and sizes.
        budget_s: Seconds for all parts together, shared out as in `PARTS`.
        say: Called with a line before and after each part.
        command: Makes the command of a part.
    """
    started, total, shared = time.monotonic(), sum(PARTS[part] for part in parts), 0
    results = []
    for part in parts:
        shared += PARTS[part]
        deadline = started + budget_s * shared / total
        say(f"{part}: up to {deadline - time.monotonic():.0f} s")
        results.append(_run(part, setting, deadline, command))
        say(f"{part}: {results[-1].state} in {results[-1].seconds:.0f} s {results[-1].reason}".rstrip())
    return results


def _run(part: str, setting: Setting, deadline: float, command: Command) -> PartResult:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows, log = Path(folder) / "rows.jsonl", Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(part, setting, rows),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(os.environ),
                start_new_session=True,  # what the part starts is stopped with it
            )
            try:
                process.wait(timeout=max(0.0, deadline - started))
                cut_off = False
            except subprocess.TimeoutExpired:
                cut_off = True
            finally:
                _stop(process)
        figures, end = _read(rows)
        if cut_off:
            end = {"out of time": f"stopped after {time.monotonic() - started:.0f} s"}
        elif not end:
            end = {"failed": f"the process ended with exit code {process.returncode}"}
        ((state, reason),) = end.items()
        return PartResult(
            part=part,
            state=state,
            reason="" if reason is True else str(reason),
            seconds=time.monotonic() - started,
            figures=figures,
            log="" if state in ("done", "skipped") else log.read_text(errors="replace")[-_LOG_CHARACTERS:],
        )


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part: this checkout, no network, and one GPU, since the trainers would use all."""
    paths = [str(_ROOT), *filter(None, [given.get("PYTHONPATH")])]
    card = given.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    own = {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": card}
    return {**given, **own}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process with all it started, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_S)


def _read(path: Path) -> tuple[tuple[Figure, ...], dict[str, Any]]:
    """The figures in a part's file, and how it ended; nothing of a line that was cut off."""
    figures: list[Figure] = []
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    for row in [json.loads(line) for line in lines if line.endswith("\n")]:
        if "figure" not in row:
            return tuple(figures), row
        figures.append(Figure(**row["figure"]))
    return tuple(figures), {}
