"""Builds and checks the parts of a run that need torch: device, rollout pool, prompt and cache sizes.

In: a config and its `Parts`. `parts.py` builds and checks environment and reward before, without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.integrations import get_available_reporting_integrations

from configs import Config, ConfigError
from rl.devices import check_devices, find_device, shares_gpu
from rl.memory.devices import Devices, find_devices
from rl.memory.engine import engine_rows, largest_calls
from rl.memory.fit import Fit, check_fit, fit_memory
from rl.memory.learner import Model
from rl.models.four_bits import plain_copy
from rl.models.policy import Policy, load_policy
from rl.models.shape import shape_model
from rl.parts import Parts
from rl.positions import check_positions
from rl.precision import check_precision, engine_dtype, gradient_checkpointing, learner_dtype, mixed_precision
from rl.prompt_lengths import check_prompts
from rl.sft.lengths import check_demonstrations
from rollout.engines.adapter import can_merge
from rollout.engines.cache_size import CacheError, CallSize, cache_bytes
from rollout.engines.spec import EngineSpec
from rollout.engines.vllm import check_arguments
from rollout.engines.vllm_settings import MIN_TEMPERATURE, VllmSettings, check_installed
from rollout.pools.base import RolloutPool
from rollout.pools.local import LocalPool
from rollout.types import Sampling
from rollout.worker import WorkerSpec


def check_backends(config: Config) -> None:
    """Refuse a device, an engine or a metric backend that this machine does not have.

    Raises:
        ConfigError: Names the key and what is available.
    """
    check_devices(config)
    check_precision(config)
    _check_report_to(config.report_to)
    _check_engine(config)


def build_policy(config: Config, parts: Parts, checkpoint: Path | None = None) -> Policy:
    """Load the policy of a run, or a checkpoint that was trained with its config.

    Raises:
        PolicyError: The model cannot be found or used.
    """
    return load_policy(
        config.policy,
        parts.env,
        prompts=parts.prompts,
        seed=config.seed,
        checkpoint=checkpoint,
        dtype=learner_dtype(config),
    )


def check_lengths(config: Config, parts: Parts, policy: Policy) -> list[str]:
    """Refuse a run whose prompts or demonstrations are over a limit, or whose completions outgrow the context.

    Returns:
        Warnings about prompts that are skipped and demonstrations over the length limit.

    Raises:
        ConfigError: Names the numbers and what to change.
    """
    rollout = config.rollout
    warnings = [check_prompts(config, parts.env, policy.encoder), check_positions(config, parts, policy)]
    context = policy.context
    new = max([rollout.max_new_tokens, *config.eval.max_new_tokens.values()])
    if context is not None and rollout.max_prompt_tokens + new > context:
        raise ConfigError(
            f"rollout.max_prompt_tokens ({rollout.max_prompt_tokens}) plus the longest max_new_tokens "
            f"({new}) is over the model's context of {context} tokens; lower one of them"
        )
    learnt = config.warm_start
    if learnt is not None:
        if config.iterate is not None:  # the longest that a loop teaches
            learnt = learnt.model_copy(update={"skipped_frac": 0.0, "budget_frac": 1.0})
        demonstrations = check_demonstrations(
            (*parts.curriculum, parts.env),
            learnt,
            policy.encoder,
            seed=config.seed,
            limit=rollout.max_new_tokens,
            context=context,
        )
        warnings.append(demonstrations)
    return [warning for warning in warnings if warning]


def checked_memory(config: Config, policy: Policy) -> Fit:
    """The memory that a run takes here, and the sizes that make it fit.

    Raises:
        ConfigError: It does not fit.
    """
    gpus = torch.cuda.device_count()
    gpu_bytes = torch.cuda.mem_get_info()[1] if gpus else None
    devices = find_devices(config, gpus=gpus, gpu_bytes=gpu_bytes, cpu=find_device(config) == "cpu")
    fit = fit_model(config, policy.model, devices)
    check_fit(config, fit)
    return fit


def fit_model(config: Config, model: Model, devices: Devices) -> Fit:
    """The memory that a run takes on these devices with a model, which needs no weights.

    Raises:
        ConfigError: The KV cache that the config gives does not hold one sample.
    """
    if config.policy.load_in_4bit:  # the matrices of one that is loaded have another shape
        model = shape_model(config)
    settings = _vllm_settings(config)
    in_process = config.rollout.backend == "local"
    merges = settings is None and can_merge(model)
    try:
        given = _given_cache(config, model, devices, settings)
    except CacheError as error:
        raise ConfigError(str(error)) from None

    def need(calls: Sequence[CallSize]) -> int:
        if given is not None and settings is not None and settings.gpu_memory_utilization is not None:
            return given  # vLLM takes its share, whatever the calls need
        return cache_need(config, model, calls, on_gpu=devices.engines_on_gpu(config))

    return fit_memory(
        config,
        model,
        devices,
        mixed_precision=mixed_precision(config),
        checkpointing=gradient_checkpointing(config) and bool(model.supports_gradient_checkpointing),
        engine_dtype=engine_dtype(config),
        cache_need=need,
        cache_given=given,
        shares_base=merges
        and not (in_process and config.policy.load_in_4bit)
        and engine_dtype(config) == learner_dtype(config),
        own_base=merges and not in_process,
        engine_sleeps=settings is not None and settings.sleep,
    )


def _given_cache(config: Config, model: Model, devices: Devices, settings: VllmSettings | None) -> int | None:
    """The bytes of the KV cache that the config gives; None: it leaves them open.

    Raises:
        CacheError: They do not hold one sample.
    """
    given = config.rollout.kv_cache_gib
    bound = None if given is None else int(given * 2**30)
    if settings is None:
        cache_need(config, model, largest_calls(config), bound, on_gpu=devices.engines_on_gpu(config))
        return bound
    settings.check_cache(model, engine_dtype(config))
    if settings.gpu_memory_utilization is None:
        return bound
    size = devices.size if devices.engines_here else devices.engine_size or devices.size
    weights = sum(parameter.numel() for parameter in model.parameters()) * engine_dtype(config).itemsize
    return max(0, int(settings.gpu_memory_utilization * size - weights / settings.num_devices))


def cache_need(
    config: Config, model: Model, calls: Sequence[CallSize], bound: int | None = None, *, on_gpu: bool = False
) -> int:
    """The bytes that the KV cache of an engine takes for calls at most.

    Raises:
        CacheError: One sample is over the bound.
    """
    if (settings := _vllm_settings(config)) is not None:
        return int(settings.cache_bytes(model, engine_dtype(config)))
    return cache_bytes(
        model,
        calls,
        prompt_tokens=config.rollout.max_prompt_tokens,
        max_rows=engine_rows(config, on_gpu=on_gpu),
        dtype=engine_dtype(config),
        bound=bound,
    )


def _samples_on_gpu(config: Config) -> bool:
    if config.rollout.backend == "ray":
        return config.rollout.gpus_per_actor > 0
    return find_device(config) == "cuda"


def _vllm_settings(config: Config, kv_cache_bytes: int | None = None) -> VllmSettings | None:
    rollout = config.rollout
    if rollout.engine != "vllm":
        return None
    training, evaluation = largest_calls(config)
    rows = max(training.num_samples, evaluation.num_samples)
    sleep = rollout.enable_sleep_mode
    if kv_cache_bytes is None and rollout.kv_cache_gib is not None:
        kv_cache_bytes = int(rollout.kv_cache_gib * 2**30)
    return VllmSettings(
        max_rows=min(rows, rollout.max_rows or rows),
        max_tokens=rollout.max_prompt_tokens + max(training.new_tokens, evaluation.new_tokens),
        cache_rows=min(training.num_samples, rollout.max_rows or rows),
        cache_tokens=rollout.max_prompt_tokens + training.new_tokens,
        gpu_memory_utilization=rollout.gpu_memory_utilization,
        kv_cache_bytes=None if rollout.gpu_memory_utilization is not None else kv_cache_bytes,
        sleep=shares_gpu(config) and rollout.max_staleness == 0 if sleep == "auto" else sleep,
        arguments=rollout.vllm_args,
    )


def worker_spec(
    config: Config, parts: Parts, policy: Policy, *, kv_cache_bytes: int | None = None
) -> WorkerSpec:
    """What a worker needs to sample from the policy, its KV cache bound to so many bytes (None: not bound)."""
    rollout = config.rollout
    # The embedded engine writes a base in 4 bits out as it merges the adapter, if it has the learner's.
    in_process = rollout.backend == "local" and rollout.engine == "torch"
    return WorkerSpec(
        engine=EngineSpec(
            model=policy.model if in_process else plain_copy(policy.model),
            stop_ids=policy.encoder.stop_ids,
            pad_id=policy.encoder.pad_id,
            dtype=engine_dtype(config),
            device=find_device(config),
            tf32=config.tf32,
            threads=rollout.threads,
            max_rows=engine_rows(config, on_gpu=_samples_on_gpu(config)),
            cuda_graphs=rollout.cuda_graphs,
            cache_bytes=kv_cache_bytes,
            calls=tuple(largest_calls(config)),
            prompt_tokens=rollout.max_prompt_tokens,
            vllm=_vllm_settings(config, kv_cache_bytes),
        ),
        encoder=policy.encoder,
        env=parts.env,
        rewards=parts.rewards,
        sampling=Sampling(temperature=rollout.temperature, max_new_tokens=rollout.max_new_tokens),
        max_prompt_tokens=rollout.max_prompt_tokens,
        others=parts.others,
    )


def build_pool(config: Config, parts: Parts, policy: Policy, fit: Fit) -> RolloutPool:
    """Start the rollout pool, with a copy of the policy's current weights.

    Args:
        config: The run.
        parts: Its checked pieces.
        policy: Its policy.
        fit: Bounds the KV cache.

    Raises:
        ResourceError: The cluster has too few resources.
        VllmError, DecodingError: The engine cannot sample from this model.
    """
    rollout, spec = config.rollout, worker_spec(config, parts, policy, kv_cache_bytes=fit.cache_bytes)
    if rollout.backend == "local":
        return LocalPool(spec.build())
    from rollout.pools.ray_pool import RayPool  # Ray is only imported where it is used: it takes a second

    return RayPool(
        spec,
        num_actors=rollout.num_actors,
        cpus_per_actor=rollout.cpus_per_actor,
        gpus_per_actor=rollout.gpus_per_actor,
        deadline_s=rollout.deadline_s,
        max_restarts=4 * rollout.num_actors if rollout.max_restarts is None else rollout.max_restarts,
        restart_window_s=rollout.restart_window_s,
        start_deadline_s=rollout.start_deadline_s,
    )


def _check_engine(config: Config) -> None:
    if config.rollout.engine != "vllm":
        return
    try:
        check_installed()
    except ValueError as error:
        raise ConfigError(f"rollout.engine is 'vllm', but {error}") from None
    rollout = config.rollout
    try:
        check_arguments(rollout.vllm_args)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if rollout.enable_sleep_mode is True and not _samples_on_gpu(config):
        raise ConfigError(
            "rollout.enable_sleep_mode is true, but the engine samples on the CPU, where vLLM has none; set it "
            "to auto"
        )
    settings = _vllm_settings(config)
    if (
        settings is not None
        and rollout.backend == "ray"
        and settings.num_devices > max(1, rollout.gpus_per_actor)
    ):
        raise ConfigError(
            f"rollout.vllm_args splits the model over {settings.num_devices} GPUs, but rollout.gpus_per_actor "
            f"is {rollout.gpus_per_actor:g}; raise it to {settings.num_devices}"
        )
    for key, value in (
        ("rollout.temperature", config.rollout.temperature),
        ("eval.temperature", config.eval.temperature),
    ):
        if value < MIN_TEMPERATURE:
            raise ConfigError(
                f"{key} is {value:g}, but vLLM goes down to {MIN_TEMPERATURE:g}; raise it or set "
                "rollout.engine to 'torch'"
            )


def _check_report_to(names: list[str]) -> None:
    installed = get_available_reporting_integrations()
    if unknown := [name for name in names if name not in (*installed, "none", "all")]:
        raise ConfigError(
            f"report_to has {unknown}; installed here: {', '.join(installed) or 'none'} (or 'none')"
        )
