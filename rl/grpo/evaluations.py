"""Evaluations during GRPO: every N updates on the same small set of problems.

In: the pool, holding the weights of an update. Out: figures for the log; the best model so far, kept in
`models/best`; the word to stop early. Which weights sample which rollout batch stays as it is without
evaluations, and every seed is that of its own purpose, so evaluations do not change the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain
from typing import Any

from configs import Config
from envs import Env
from rl.evaluate import evaluate
from rl.models.card import write_model_card
from rl.models.policy import Policy
from rl.prompt_lengths import fits
from rl.runs.early_stopping import is_over, next_best
from rl.runs.folder import RunFolder
from rl.runs.log import sample_rows
from rl.runs.models import BEST, TrainedModel
from rl.runs.record import BestModel, SampleRow, SplitResult, Stage
from rl.runs.saving import whole_folder
from rollout.pools.base import RolloutPool

_LOGGED = (
    *("accuracy", "strict_accuracy", "verified", "steps_per_correct", "merged_lines", "empty_thoughts"),
    *("needed_lines", "skippable_lines", "wasted_lines", "wrong_lines"),
    *("backtracks", "needed_backtracks", "needless_backtracks"),
    *("tokens", "truncated"),
)


class Evaluations:
    """The evaluations during GRPO, as far as `eval.every` asks for them.

    Attributes:
        stopped: Whether early stopping has ended the stage.
    """

    def __init__(
        self,
        config: Config,
        env: Env[Any],
        pool: RolloutPool,
        folder: RunFolder,
        policy: Policy,
        *,
        say: Callable[[str], None] = lambda line: None,
        show: Callable[[str, int, list[SampleRow]], None] = lambda split, update, rows: None,
    ) -> None:
        """Set up; nothing is evaluated yet.

        Args:
            config: The run.
            env: The task.
            pool: Holds the weights to judge when `evaluate` is called.
            folder: Gets the completions, the best model and the summary.
            policy: The policy in training, which is saved where it is the best so far.
            say: Shows a line.
            show: Shows completions of a split in the metric backends, given the update.
        """
        self._config = during_config(config)
        self._env = env
        self._pool = pool
        self._folder = folder
        self._policy = policy
        self._say = say
        self._show = show
        self.stopped = False

    def due(self, update: int) -> bool:
        """Whether the policy is evaluated after this update."""
        every = self._config.eval.every
        return every is not None and update % every == 0

    def evaluate(self, update: int) -> dict[str, float]:
        """Evaluate the weights of an update, keep the model if it is the best so far.

        Returns:
            Figures by name, such as `eval_id/accuracy`.

        Raises:
            GraderError: Graders failed on more completions than allowed.
        """
        started = time.perf_counter()
        usable = fits(self._config, self._policy.encoder)
        found = evaluate(self._pool, self._config, self._env, fits=usable)
        encoder = self._policy.encoder
        rows = {
            name: [
                row
                for group in found.headline(name)
                for row in sample_rows(Stage.GRPO, update, group, encoder, tokens=False)
            ]
            for name in found.results
        }
        self._folder.during.write(update, chain.from_iterable(rows.values()))
        for name, shown in rows.items():
            self._show(name, update, shown)
        split = self._config.eval.splits[0]
        self._judge(update, split, found.results[split])
        return {
            **{
                f"eval_{name}/{figure}": value
                for name, result in found.results.items()
                for figure in _LOGGED
                if (value := getattr(result, figure)) is not None
            },
            "seconds/evaluate": time.perf_counter() - started,
        }

    def _judge(self, update: int, split: str, result: SplitResult) -> None:
        settings = self._config.eval
        if settings.best is None:
            return
        summary = self._folder.summary()
        best = next_best(summary.best, update, settings.best, split, result)
        if best.update == update:
            self._save(best)
        summary = summary.with_best(best)
        if is_over(settings, best, update):
            self.stopped = True
            summary = summary.with_stop(update)
            self._say(
                f"GRPO: stopped early after update {update}, as {settings.patience} evaluations in a row were "
                f"no better than that of update {best.update} (eval.patience)"
            )
        self._folder.write_summary(summary)

    def _save(self, best: BestModel) -> None:
        with whole_folder(self._folder.best_model) as new:
            self._policy.save(new)
            trained = TrainedModel(path=new, run=self._folder.path, stage=Stage.GRPO, best=best)
            write_model_card(trained, f"{self._config.name}-{BEST}")


def during_config(config: Config) -> Config:
    """The config that the policy is evaluated with during GRPO: fewer problems, and no more than is logged."""
    settings = config.eval
    changed = {
        "splits": settings.every_splits or settings.splits[:1],
        "num_problems": min(settings.every_problems, settings.num_problems),
        "num_samples": 0 if settings.greedy else settings.num_samples,
        "length_limits": [],
    }
    return config.model_copy(update={"eval": settings.model_copy(update=changed)})
