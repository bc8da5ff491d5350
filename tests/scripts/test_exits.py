"""Errors carry their exit code; nothing is recognised by the name of its class."""

from __future__ import annotations

import pytest

from configs import ConfigError
from envs import GraderError
from envs.own import OwnEnvError
from rl.finite import NotFiniteError
from rl.grpo.logprob_check import LogprobMismatchError
from rl.grpo.zero_signal import StalledError
from rl.models.policy import PolicyError
from rl.runs.errors import RunFolderError
from rl.runs.lock import RunBusyError
from rollout.engines.vllm import VllmError
from rollout.pools.ray_pool import RolloutError
from rollout.pools.room import ResourceError
from rollout.types import PromptTooLongError
from scripts.exits import RUN_FAILED, TRY_AGAIN, USER_ERROR, user_errors
from scripts.submit import SubmitError

CODES = {
    ConfigError: USER_ERROR,
    PolicyError: USER_ERROR,
    RunFolderError: USER_ERROR,
    ResourceError: USER_ERROR,
    PromptTooLongError: USER_ERROR,
    VllmError: USER_ERROR,
    SubmitError: USER_ERROR,
    RunBusyError: TRY_AGAIN,
    StalledError: RUN_FAILED,
    LogprobMismatchError: RUN_FAILED,
    NotFiniteError: RUN_FAILED,
    RolloutError: RUN_FAILED,
    GraderError: RUN_FAILED,
    OwnEnvError: RUN_FAILED,
}


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_each_error_ends_the_command_with_its_code(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, user_errors():
        raise kind("what was given\nand what to do")
    assert (ended.value.code, capsys.readouterr().err) == (
        CODES[kind],
        "error: what was given and what to do\n",
    )


def test_a_subclass_inherits_the_code() -> None:
    class Narrower(ConfigError):
        """Under any name."""

    with pytest.raises(SystemExit) as ended, user_errors():
        raise Narrower("x")
    assert ended.value.code == USER_ERROR


def test_a_name_alone_is_no_code() -> None:
    impostor = type("ConfigError", (ValueError,), {})
    with pytest.raises(impostor), user_errors():
        raise impostor("x")
