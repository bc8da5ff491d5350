"""A long run of many long completions, without sampling them: what its files cost, and what resuming it costs.

In: numbers of updates, problems, samples and tokens. Out: completions made of random words, written as a run
writes them, over the trajectories of a real run of as many tiny updates; figures of writing, of resuming that
run in a process of its own, and of opening the viewer. ``python -m tests.kit.long_run FOLDER`` prints them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from envs import parse_trace
from rl.runs.log import sample_rows
from rl.runs.record import SampleRow, Stage
from rl.runs.trajectories import trajectory_log
from rl.viewer import read_trajectories
from rollout.encoder import Encoder
from rollout.types import RolloutGroup
from tests.kit.problems import ask
from tests.kit.rollouts import make_group, make_sample, make_score
from tests.kit.tiny_config import write_tiny

ROOT = Path(__file__).resolve().parents[2]
_WORDS = 50_000
_STEP_TOKENS = 40
_DIFFERENT = 4
"""Updates with completions of their own; later ones have the same again."""
CHANGES = """
name: long
policy: {tiny: {hidden_size: 16, num_heads: 1, intermediate_size: 16, max_positions: 64}}
rollout: {samples_per_problem: 2, max_new_tokens: 8}
grpo: {problems_per_update: 1, save_every: 10, keep_checkpoints: 1}
eval: {num_problems: 2}
"""


class WordEncoder:
    """Stands for an encoder whose tokens are words; their frequencies fall as those of a language do."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        letters = np.array(list("aabcdeeefghiijklmnoopqrsstttuvwxyz"))
        lengths = generator.integers(1, 8, size=_WORDS)
        self._words = [" " + "".join(generator.choice(letters, size=length)) for length in lengths]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The words of ids."""
        return [self._words[number] for number in ids]

    def show(self, ids: Sequence[int]) -> str:
        """Their text, in lines of so many tokens."""
        words = self.pieces(ids)
        lines = ["".join(words[at : at + _STEP_TOKENS]).strip() for at in range(0, len(words), _STEP_TOKENS)]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """The size of an update: problems, samples of each, tokens of each sample."""

    problems: int
    samples: int
    tokens: int


def made_up_groups(encoder: WordEncoder, size: Size, seed: int) -> list[RolloutGroup]:
    """The groups of an update, right and wrong by turns; most tokens are nearly sure, as in a model."""
    generator, groups = np.random.default_rng(seed), []
    for number in range(size.problems):
        samples = []
        for sample in range(size.samples):
            ids = np.minimum(generator.zipf(1.3, size=size.tokens), _WORDS - 1).tolist()
            sure = generator.random(size.tokens) < 0.6
            nats = generator.exponential(np.where(sure, 0.01, 1.0)).astype(np.float32)
            text = encoder.show(ids)
            score = make_score((number + sample) % 2)
            made = make_sample(score, trace=parse_trace(text), text=text, ids=ids, logprobs=(-nats).tolist())
            samples.append(made)
        question = encoder.show(generator.integers(_WORDS, size=100).tolist())
        groups.append(make_group(ask(question), samples, number=number))
    return groups


def rows_of(
    encoder: WordEncoder, update: int, groups: Sequence[RolloutGroup], *, tokens: bool
) -> Iterator[SampleRow]:
    """The rows of an update as a run makes them, one group at a time."""
    for group in groups:
        given = [0.5 - reward for reward in group.rewards]
        yield from sample_rows(Stage.GRPO, update, group, cast("Encoder", encoder), given, tokens=tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What it cost to write updates.

    Attributes:
        seconds: Of each update, in their order, the making of rows included.
        num_bytes: Of each file.
        peak_mib: The largest resident memory of the process so far, after each update.
    """

    seconds: list[float]
    num_bytes: list[int]
    peak_mib: list[float]


def write_updates(folder: Path, updates: range, size: Size, *, kept: bool) -> Written:
    """Write made-up updates into a run folder; `kept`: with the text and the log-probability of tokens."""
    encoder, log = WordEncoder(), trajectory_log(folder)
    made = [made_up_groups(encoder, size, seed) for seed in range(min(_DIFFERENT, len(updates)))]
    seconds, num_bytes, peak = [], [], []
    for update in updates:
        started = time.perf_counter()
        log.write(update, rows_of(encoder, update, made[update % len(made)], tokens=kept))
        seconds.append(time.perf_counter() - started)
        num_bytes.append((log.path / f"update-{update:06}.parquet").stat().st_size)
        peak.append(_peak_mib())
    return Written(seconds=seconds, num_bytes=num_bytes, peak_mib=peak)


def _peak_mib(process: str = "self") -> float:
    """The largest resident memory of a process so far; 0 where it has just ended.

    Not `ru_maxrss`, in which a process begins with that of the one that started it.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except ProcessLookupError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def train(folder: Path, updates: int, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the tiny run in a process of its own."""
    config = write_tiny(folder.parent / f"{folder.name}.yaml", CHANGES)
    keys = (f"output_dir={folder}", f"grpo.updates={updates}")
    command = [sys.executable, "scripts/train.py", str(config), *keys]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )


def resume(folder: Path, updates: int) -> dict[str, float]:
    """Make the run one update longer.

    Returns:
        Seconds from the start of the process to the first new update in `metrics.jsonl`, imports included;
        seconds of CPU time and the largest resident memory in MiB until its end.
    """
    metrics = folder / "metrics.jsonl"
    before, started, peak = metrics.stat().st_size, time.perf_counter(), 0.0
    seconds = None
    process = train(folder, updates + 1, "--resume")
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        peak = max(peak, _peak_mib(str(process.pid)))
        if seconds is None and metrics.stat().st_size > before:
            seconds = time.perf_counter() - started
        time.sleep(0.02)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or seconds is None:
        raise RuntimeError(f"the resumed run ended with exit code {process.returncode}")
    return {"seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": peak}


def json_bytes(size: Size) -> int:
    """How long an update is as JSON lines with tokens."""
    encoder = WordEncoder()
    rows = rows_of(encoder, 1, made_up_groups(encoder, size, 1), tokens=True)
    return sum(len(json.dumps(row.to_json())) + 1 for row in rows)


def open_viewer(folder: Path) -> dict[str, Any]:
    """Figures of opening the viewer, and of a chunk of rows; to be called in a process of its own."""
    started = time.perf_counter()
    data = read_trajectories([folder])
    read, peak = time.perf_counter(), _peak_mib()
    chunk = data.chunks[len(data.chunks) // 2]
    return {
        "rows": data.num,
        "seconds": read - started,
        "peak_mib": peak,
        "mb_of_columns": len(data.columns) / 1e6,
        "chunks": len(data.chunks),
        "seconds_a_chunk": time.perf_counter() - read,
        "mb_a_chunk": len(chunk) / 1e6,
    }


def _say(name: str, **figures: Any) -> None:
    shown = {key: round(value, 2) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"what": name, **shown}), flush=True)


def main() -> None:
    """Run it all and print a line of JSON for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, usual in (("updates", 500), ("problems", 128), ("samples", 16), ("tokens", 400)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--no-tokens", action="store_true")
    given = parser.parse_args()
    run, updates = given.folder / "run", given.updates
    size = Size(problems=given.problems, samples=given.samples, tokens=given.tokens)
    given.folder.mkdir(parents=True)
    if train(run, updates).wait():
        raise SystemExit("the tiny run failed")
    _say("resumed with tiny files", **resume(run, updates))
    written = write_updates(run, range(1, updates + 2), size, kept=not given.no_tokens)
    _say("written", seconds_an_update=float(np.median(written.seconds)), slowest=max(written.seconds))
    early, late = written.peak_mib[min(9, updates)], written.peak_mib[-1]
    _say("memory of the writer", peak_mib_after_10=early, peak_mib_at_the_end=late)
    mean = float(np.mean(written.num_bytes))
    _say("size", mb_an_update=mean / 1e6, mb_as_json=json_bytes(size) / 1e6, gb=sum(written.num_bytes) / 1e9)
    _say("resumed", **resume(run, updates + 1))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        _say("viewer", **pool.submit(open_viewer, run).result())


if __name__ == "__main__":
    main()
