"""Refuses the environment of a multi-process launcher, on purpose or left over in a shell.

The learner is one process. The libraries under it read the variables of torchrun, MPI and `accelerate launch`
when they set up the device: they then wait for processes that are not there, write one folder from several, or
change the precision or compile the model without being asked. Torch is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from configs import ConfigError

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_DEFAULTS = ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_DYNAMO_BACKEND")
_PLUGINS = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG")


def check_launcher(environ: Mapping[str, str] = os.environ) -> None:
    """Refuse to train where a launcher's variables are set.

    Raises:
        ConfigError: Names them.
    """
    found = [name for name in _SIZES if environ.get(name, "1").strip() not in ("", "0", "1")]
    if environ.get("LOCAL_RANK", "-1").strip() not in ("", "-1"):
        found.append("LOCAL_RANK")
    found += [
        name
        for plugin in _PLUGINS
        if environ.get(name := f"ACCELERATE_USE_{plugin}", "").lower() in ("1", "true", "yes")
    ]
    found += [name for name in _DEFAULTS if environ.get(name, "no").lower() not in ("", "no")]
    if found:
        shown = " ".join(f"{name}={environ[name]}" for name in found)
        unset = " ".join(f"-u {name}" for name in found)
        raise ConfigError(
            f"the environment has settings of a launcher such as torchrun or accelerate: {shown}; the learner "
            f"is one process: start it without a launcher, or, if they are left over, with `env {unset} ...`"
        )
