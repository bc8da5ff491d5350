"""Evaluation of one model outside a run: what `stride evaluate` does."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from configs import Config, ConfigError
from rl.parts import build_parts
from rl.runs.forecast import Kind, Work
from rl.runs.progress import Progress
from rl.runs.record import SplitResult
from rollout.threads import let_threads_sleep


def evaluate_model(model: str, config: Config, *, out_file: Path | None = None) -> dict[str, SplitResult]:
    """Evaluate a model on the config's splits.

    Args:
        model: Model or adapter folder, hub id, or "config" for the config's own policy.
        config: Its `env`, `policy`, `rollout`, `eval` and `seed` are used.
        out_file: The file that the caller will write; checked before the work starts.

    Returns:
        Results by split.

    Raises:
        ConfigError: `out_file` exists or cannot be written.
        PolicyError: The model cannot be found or used.
    """
    if out_file is not None and (out_file.exists() or not out_file.parent.is_dir()):
        reason = "already exists" if out_file.exists() else "is in a folder that does not exist"
        raise ConfigError(f"--json {out_file} {reason}; give another file")
    checkpoint = Path(model) if Path(model).is_dir() else None
    if checkpoint is None and model != "config":
        config = config.model_copy(update={"policy": config.policy.model_copy(update={"model": model})})
    parts = build_parts(config, find_model=checkpoint is None)

    let_threads_sleep()
    import torch  # everything that needs none is checked

    from rl.build import build_pool, check_backends
    from rl.evaluate import evaluate, num_completions
    from rl.models.policy import load_policy
    from rl.runs.quiet import quiet_libraries

    check_backends(config)
    quiet_libraries()
    torch.set_num_threads(config.threads)
    policy = load_policy(
        config.policy, parts.env, prompts=parts.prompts, seed=config.seed, checkpoint=checkpoint
    )
    pool = build_pool(config, parts, policy)
    work = Work(label="evaluation", kind=Kind.COMPLETION, units=num_completions(config))
    with closing(pool), Progress(sys.stderr).showing(work) as task:
        evaluation = evaluate(
            pool, config, parts.env, on_batch=lambda split, done: task.advance(done, [f"split {split}"])
        )
    return evaluation.results
