"""The update benchmarks: Stride's trainer and TRL's own on the same model, prompts and lengths.

`end_to_end` times whole updates; TRL samples with `generate`, from the weights it trains. `update` times the
learner alone. A position is useful if it holds a token of a prompt or a completion; their number is known from
the workload.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rl.bench.checksum_task import sample_groups
from rl.bench.race import Contestants, Lap
from rl.bench.trainers import Training, train_stride, train_trl
from rl.bench.workload import Case, Workload


def update(case: Case) -> Contestants:
    """The learners alone, on completions sampled before the race."""
    model, workload = case.make_model(), case.make_workload()
    groups = sample_groups(model, workload, case.threads)
    return {
        "stride": partial(_lap, case, workload, partial(train_stride, model, workload, groups)),
        "trl": partial(_lap, case, workload, partial(train_trl, model, workload, groups, rows=case.trl_rows)),
    }


def end_to_end(case: Case) -> Contestants:
    """Whole updates: sampling, reward, loss, backward, optimiser, and new weights for the sampler."""
    model, workload = case.make_model(), case.make_workload()
    stride = partial(train_stride, model, workload, threads=case.threads)
    return {
        "stride": partial(_lap, case, workload, stride),
        "trl": partial(_lap, case, workload, partial(train_trl, model, workload, rows=case.trl_rows)),
    }


def _lap(case: Case, workload: Workload, train: Callable[..., Training]) -> Lap:
    updates = case.updates + 1  # the first one warms up
    training = train(updates=updates)
    if training.tokens != updates * workload.tokens:
        raise RuntimeError(
            f"{training.tokens} tokens were trained on in {updates} updates of {workload.tokens} tokens each"
        )
    return Lap(
        per_s=len(training.seconds) / sum(training.seconds),
        useful_frac=updates * workload.positions / training.positions,
    )
