"""How a run fits into the memory of its devices: sizes that the config leaves open, and what cannot fit.

In: a config, the policy's model, and the devices. Out: a `Fit` with the stated memory of learner and engine,
the tokens of a pass and the bytes of the KV cache; and a refusal with the numbers and the keys that help.

Needs are compared with the whole memory, not with the part that is free now, so that nothing is refused that
could work. What is chosen here leaves some of it free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from configs import Config, ConfigError
from configs.schema.config import GrpoConfig, WarmStartConfig
from configs.schema.key_steps import KeyStepsConfig
from rl.memory.devices import Devices, usable_bytes
from rl.memory.engine import (
    EngineMemory,
    engine_weights,
    largest_calls,
    step_bytes,
)
from rl.memory.learner import LearnerMemory, Model, learner_memory
from rl.memory.passes import PassMemory, PassSimulation
from rl.memory.text import gib
from rl.pass_cuts import CPU_TOKENS, GPU_TOKENS
from rl.runs.record import SECTIONS, Stage
from rollout.engines.cache_size import CallSize

WARM, KEY_STEPS, GRPO = Stage.WARM.label, Stage.KEY_STEPS.label, Stage.GRPO.label

_Section = WarmStartConfig | KeyStepsConfig | GrpoConfig


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a run takes, and the sizes that make it fit.

    Attributes:
        devices: Where learner and engines are.
        learner: Memory of the learner by stage.
        engine: Memory of the engine.
        pass_tokens: Tokens of a pass of GRPO at most.
        warm_tokens: Tokens of a pass of the warm start at most; None: all demonstrations of an update fit.
        key_tokens: Tokens of a pass of the key steps at most; None: all pairs of an update fit.
        cache_bytes: Bound of the KV cache of an engine; None: what its calls need.
    """

    devices: Devices
    learner: dict[str, LearnerMemory]
    engine: EngineMemory
    pass_tokens: int
    warm_tokens: int | None
    key_tokens: int | None
    cache_bytes: int | None

    @property
    def peak(self) -> int:
        """The most that is taken of the learner's device; the learner waits while an engine there samples."""
        engine = self.engine if self.devices.engines_here else None
        lasting = max((memory.lasting for memory in self.learner.values()), default=0)
        peak = max((memory.peak for memory in self.learner.values()), default=0)
        if engine is None:
            return peak
        beside = 0 if engine.sleeps else engine.lasting
        return max(peak + beside, lasting + engine.lasting + engine.step)

    def lines(self) -> list[str]:
        """What is said before a run."""
        device = self.devices
        lines = [f"memory of the learner, {stage}: {memory}" for stage, memory in self.learner.items()]
        where = "" if device.engines_here else " (not on the learner's device)"
        lines.append(f"memory of the engine{where}: {self.engine}")
        lines.append(f"memory in all: {gib(self.peak)} of the {gib(device.size)} of {device.name}")
        if self.peak > usable_bytes(device.size, on_gpu=device.on_gpu):
            lines.append("warning: fragmentation may take more memory than that leaves free")
        return lines


def fit_memory(
    config: Config,
    model: Model,
    devices: Devices,
    *,
    mixed_precision: bool,
    checkpointing: bool,
    engine_dtype: torch.dtype,
    cache_need: Callable[[Sequence[CallSize]], int],
    cache_given: int | None = None,
    shares_base: bool = False,
    own_base: bool = False,
    engine_sleeps: bool = False,
) -> Fit:
    """Choose what the config leaves open, and state what the run takes.

    Args:
        config: The run.
        model: The policy's model, with weights or on the `meta` device.
        devices: Where learner and engines are.
        mixed_precision: Whether the learner computes matrix products in bfloat16.
        checkpointing: Whether it recomputes layers in the backward pass.
        engine_dtype: Precision of the engine's weights.
        cache_need: The bytes that an engine's KV cache takes for calls at most.
        cache_given: Bytes of the KV cache that the config asks for; None: as many as its calls need and fit.
        shares_base: Whether the engine reads what the adapter leaves alone from a base beside it.
        own_base: Whether that base is the engine's own, in an actor, and not the learner's.
        engine_sleeps: Whether the engine gives its memory back while the learner works.
    """
    learner = _Learner(config, model, devices, mixed_precision=mixed_precision, checkpointing=checkpointing)
    engine = EngineMemory(
        weights=engine_weights(
            model,
            engine_dtype,
            shares_base=shares_base,
            own_base=own_base,
            on_gpu=devices.engines_on_gpu(config),
        ),
        cache=0,
        step=step_bytes(config, model, engine_dtype, on_gpu=devices.engines_on_gpu(config)),
        number=max(1, devices.engines_here or devices.engines_there),
        sleeps=engine_sleeps,
    )
    training_call, evaluation_call = largest_calls(config)
    training, all_calls = cache_need([training_call]), cache_need([training_call, evaluation_call])
    bound = cache_given
    if bound is None:
        least = cache_need([CallSize(1, 1, evaluation_call.new_tokens)])
        bound = min(all_calls, max(least, _cache_room(config, learner, engine, training, all_calls)))
    engine = replace(engine, cache=min(bound, all_calls))
    room = usable_bytes(devices.size, on_gpu=devices.on_gpu) - learner.lasting
    beside = engine.lasting if devices.engines_here and not engine.sleeps else 0
    sizes = learner.fitting(room - beside)
    tokens = learner.chosen_tokens(sizes)
    return Fit(
        devices=devices,
        learner=sizes,
        engine=engine,
        pass_tokens=(config.grpo and config.grpo.micro_batch_tokens) or tokens.get(GRPO, CPU_TOKENS),
        warm_tokens=tokens.get(WARM),
        key_tokens=tokens.get(KEY_STEPS),
        cache_bytes=bound if bound < all_calls or cache_given is not None else None,
    )


def _cache_room(config: Config, learner: _Learner, engine: EngineMemory, training: int, all_calls: int) -> int:
    """Bytes for the KV cache of an engine.

    Passes come first, then the cache for training's calls, then that for evaluation's.

    Args:
        config: The run.
        learner: The learner.
        engine: The engine without a cache.
        training: The cache for training's calls.
        all_calls: The cache for all calls.
    """
    devices = learner.devices
    if devices.engines_here:
        usable = usable_bytes(devices.size, on_gpu=devices.on_gpu)
        left = usable - learner.lasting - engine.lasting
        if engine.sleeps:
            return (left - engine.step) // engine.number
        free = left - max(engine.step, learner.largest_pass())
        if free < engine.number * training:  # passes may be smaller, a cache of training's calls too
            half = (left - max(engine.step, learner.smallest_pass())) // 2
            free = max(free, min(engine.number * training, half))
        return free // engine.number
    on_gpu = config.rollout.gpus_per_actor > 0
    if devices.engine_size is None:
        return training if on_gpu else all_calls
    return usable_bytes(devices.engine_size, on_gpu=on_gpu) // engine.number - engine.weights - engine.step


class _Learner:
    """The learner and its passes by stage: from one row of the longest length to as many as are wanted."""

    def __init__(
        self, config: Config, model: Model, devices: Devices, *, mixed_precision: bool, checkpointing: bool
    ) -> None:
        self.devices = devices
        self._config, self._model = config, model
        self._longest = config.rollout.max_prompt_tokens + config.rollout.max_new_tokens
        stages: dict[str, _Section | None] = {
            stage.label: getattr(config, section) for stage, section in SECTIONS.items()
        }
        self._stages = {name: stage for name, stage in stages.items() if stage is not None}
        self._most_rows = {name: self._rows_wanted(stage) for name, stage in self._stages.items()}
        self._measured: dict[tuple[str, int], PassMemory] = {}
        self._simulation: PassSimulation | None = None
        if self._stages:
            self._simulation = PassSimulation(
                model,
                mixed_precision=mixed_precision,
                checkpointing=checkpointing,
                on_gpu=devices.on_gpu,
                attention=config.policy.attn_implementation,
            )

    @property
    def lasting(self) -> int:
        """What stays between passes, in the stage where that is most."""
        nothing = PassMemory(kept=0, peak=0)
        return max((self._state(name, 0, nothing).lasting for name in self._stages), default=0)

    def largest_pass(self) -> int:
        """Bytes of the largest pass that is wanted."""
        return max((self._pass(name, rows).peak for name, rows in self._most_rows.items()), default=0)

    def smallest_pass(self) -> int:
        """Bytes of the largest pass over one row."""
        return max((self._pass(name, 1).peak for name in self._stages), default=0)

    def fitting(self, room: int) -> dict[str, LearnerMemory]:
        """Memory by stage, with passes of at most `room` bytes where their size is open."""
        sizes = {}
        for name, stage in self._stages.items():
            rows = self._most_rows[name]
            memory = self._pass(name, rows)
            if memory.peak > room and rows > 1 and self._is_open(stage):
                rows, memory = rows_that_fit(rows, self._pass(name, 1), memory, room)
            sizes[name] = self._state(name, rows, memory)
        return sizes

    def chosen_tokens(self, sizes: Mapping[str, LearnerMemory]) -> dict[str, int]:
        """Tokens of a pass by stage, where they are chosen here."""
        chosen = {}
        for name, memory in sizes.items():
            if memory.tokens < self._most_rows[name] * self._longest:
                chosen[name] = memory.tokens
            elif self.devices.on_gpu:
                chosen[name] = GPU_TOKENS
        return chosen

    def _rows_wanted(self, stage: _Section) -> int:
        """Rows of the longest length in the largest pass that is wanted."""
        on_gpu = self.devices.on_gpu
        if isinstance(stage, GrpoConfig):
            tokens = stage.micro_batch_tokens or (GPU_TOKENS if on_gpu else CPU_TOKENS)
            of_update = stage.problems_per_update * self._config.rollout.samples_per_problem
            return max(1, min(tokens // self._longest, of_update))
        of_one = 2 if isinstance(stage, KeyStepsConfig) else 1  # a pair has two rows
        of_update = of_one * stage.batch_size
        if stage.micro_batch_size is not None:
            return min(of_one * stage.micro_batch_size, of_update)
        return max(of_one, min(GPU_TOKENS // self._longest, of_update)) if on_gpu else of_update

    def _is_open(self, stage: _Section) -> bool:
        """Whether the size of a pass follows from the memory."""
        if isinstance(stage, GrpoConfig):
            return stage.micro_batch_tokens is None and self.devices.on_gpu
        return stage.micro_batch_size is None

    def _pass(self, name: str, rows: int) -> PassMemory:
        if (name, rows) not in self._measured:
            assert self._simulation is not None
            measured = self._simulation.measure(rows, self._longest, padded=name != GRPO)
            self._measured[name, rows] = measured
        return self._measured[name, rows]

    def _state(self, name: str, rows: int, passes: PassMemory) -> LearnerMemory:
        stage, policy = self._stages[name], self._config.policy
        return learner_memory(
            self._model,
            optim=stage.optim,
            passes=passes,
            tokens=rows * self._longest,
            reference=isinstance(stage, GrpoConfig) and stage.beta > 0 and policy.lora is None,
            four_bit=policy.load_in_4bit,
            on_gpu=self.devices.on_gpu,
        )


def rows_that_fit(most: int, one: PassMemory, all_rows: PassMemory, room: int) -> tuple[int, PassMemory]:
    """Rows of a pass within `room` bytes, at least one, and the most that it takes.

    Memory grows with rows, and never faster than before, so it is below the line between the two sizes.
    """
    each = (all_rows.peak - one.peak) / (most - 1)
    rows = min(most - 1, 1 + max(0, int((room - one.peak) / each)))
    return rows, replace(all_rows, peak=round(one.peak + each * (rows - 1)))


def check_fit(config: Config, fit: Fit) -> None:
    """Refuse what takes more than the whole memory of its device.

    Raises:
        ConfigError: Names the numbers, and the keys that help.
    """
    devices, engine = fit.devices, fit.engine
    if fit.peak > devices.size:
        stage, memory = max(fit.learner.items(), key=lambda item: item[1].peak)
        beside = f" and the engine {engine}" if devices.engines_here else ""
        raise ConfigError(
            f"{devices.name} has {gib(devices.size)} of memory, but the learner takes {memory} in "
            f"{stage}{beside}, {gib(fit.peak)} in all; {_join(_remedies(config, fit))}"
        )
    if devices.engine_size is not None:
        there = engine.lasting + engine.number * engine.step
        if there > devices.engine_size:
            raise ConfigError(
                f"the device of the engines has {gib(devices.engine_size)} of memory, but they take {engine}; "
                f"{_join(_cache_remedies(config))}"
            )


def what_helps(config: Config, fit: Fit, stage: Stage) -> str:
    """The keys that help where a stage of the learner runs out of memory all the same."""
    if stage is Stage.GRPO:
        first = f"grpo.micro_batch_tokens below {fit.pass_tokens}"
    elif stage is Stage.KEY_STEPS:
        first = "a smaller key_steps.micro_batch_size"
    elif config.warm_start is not None and config.warm_start.micro_batch_size != 1:
        first = "a smaller warm_start.micro_batch_size"
    else:
        first = "shorter demonstrations"
    return _join(dict.fromkeys([first, *_remedies(config, fit)]))


def _remedies(config: Config, fit: Fit) -> Iterator[str]:
    """The keys that help, those that cost least first."""
    policy, on_gpu = config.policy, fit.devices.on_gpu
    if policy.gradient_checkpointing is False or (policy.gradient_checkpointing == "auto" and not on_gpu):
        yield "policy.gradient_checkpointing=true"
    if on_gpu and policy.mixed_precision == "no":
        yield "policy.mixed_precision=bf16"
    if config.grpo is not None and config.grpo.micro_batch_tokens is not None:
        yield "a smaller grpo.micro_batch_tokens"
    if config.warm_start is not None and config.warm_start.micro_batch_size not in (None, 1):
        yield "a smaller warm_start.micro_batch_size"
    if policy.lora is None:
        if on_gpu and config.grpo is not None and "8bit" not in config.grpo.optim:
            yield "grpo.optim=adamw_8bit"
        yield "policy.lora.r=16"
        if config.grpo is not None and config.grpo.beta > 0:
            yield "grpo.beta=0 (no reference model)"
    elif on_gpu and not policy.load_in_4bit and policy.model != "tiny":
        yield "policy.load_in_4bit=true"
    yield "a smaller model"
    yield from _cache_remedies(config) if fit.devices.engines_here else ()


def _cache_remedies(config: Config) -> Iterator[str]:
    training, evaluation = largest_calls(config)
    yield "rollout.max_rows" if config.rollout.max_rows is None else "a smaller rollout.max_rows"
    if evaluation.num_samples > training.num_samples:
        yield "a smaller eval.problems_per_batch"
    yield "a smaller rollout.max_new_tokens, rollout.samples_per_problem or rollout.problems_per_batch"


def _join(remedies: Iterable[str]) -> str:
    return f"what helps: {', '.join(remedies)}"
