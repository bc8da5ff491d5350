"""A whole loop, from a config to its page; the config is checked first, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from configs import Config, ConfigError
from rl.runs.folder import RunFolder
from rl.train import check_run


def iterate(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow: Sequence[str] = (),
    out: TextIO | None = None,
) -> RunFolder:
    """Run a loop from start to page.

    Args:
        config: What to do; it has the section `iterate`, or `expert_iteration`.
        resume: Continue the loop in the output folder.
        overwrite: Replace the run in the output folder.
        allow: Keys of the config that may change in a resumed loop though they decide what is trained.
        out: Where progress is shown; None: stderr.

    Returns:
        The loop's folder; `rl.iterate.files` and `rl.search.expert_record` find the records.

    Raises:
        ConfigError, PolicyError, RunFolderError, ResourceError, VllmError, DecodingError: A mistake of the
            user's, found before anything is written.
        NothingKeptError: A round has nothing to learn from; what was done is kept.
    """
    if config.expert_iteration is not None:
        checked = check_run(config, resume=resume, overwrite=overwrite, allow=allow)
        from rl.search.expert import run_expert_iteration  # imports torch

        return run_expert_iteration(config, checked, resume=resume, overwrite=overwrite, allow=allow, out=out)
    if config.iterate is None:
        raise ConfigError(
            "the config has neither iterate nor expert_iteration; run it with `stride train`, or add one, "
            "such as iterate.rounds=5"
        )
    if config.iterate.train == "sft":
        config = config.model_copy(update={"grpo": None})  # the section is not read
    checked = check_run(config, resume=resume, overwrite=overwrite, allow=allow)
    from rl.iterate.loop import run_loop  # imports torch

    return run_loop(config, checked, resume=resume, overwrite=overwrite, allow=allow, out=out)
