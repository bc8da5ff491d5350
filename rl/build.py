"""Builds and checks the parts of a run that need torch: device, rollout pool, prompt and cache sizes.

In: a config and its `Parts`. `parts.py` builds and checks environment and reward before, without torch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers.integrations import get_available_reporting_integrations

from configs import Config, ConfigError
from rl.devices import check_devices, find_device, shares_gpu
from rl.models.four_bits import plain_copy
from rl.models.memory import check_cache, host_bytes
from rl.models.policy import Policy, load_policy
from rl.parts import Parts
from rl.precision import check_precision, engine_dtype, learner_dtype
from rl.prompt_lengths import check_prompts
from rl.sft.lengths import check_demonstrations
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
    warnings = [check_prompts(config, parts.env, policy.encoder)]
    context = policy.context
    new = max([rollout.max_new_tokens, *config.eval.max_new_tokens.values()])
    if context is not None and rollout.max_prompt_tokens + new > context:
        raise ConfigError(
            f"rollout.max_prompt_tokens ({rollout.max_prompt_tokens}) plus the longest max_new_tokens "
            f"({new}) is over the model's context of {context} tokens; lower one of them"
        )
    if config.warm_start is not None:
        demonstrations = check_demonstrations(
            (*parts.curriculum, parts.env),
            config.warm_start,
            policy.encoder,
            seed=config.seed,
            limit=rollout.max_new_tokens,
            context=context,
        )
        warnings.append(demonstrations)
    return [warning for warning in warnings if warning]


def checked_cache_mebibytes(config: Config, policy: Policy) -> float:
    """The most that the KV cache takes in one engine, in training or evaluation, in MiB.

    Raises:
        ConfigError: It does not fit into memory.
    """
    on_gpu = _samples_on_gpu(config) and torch.cuda.is_available()
    gpu_bytes = torch.cuda.mem_get_info()[1] if on_gpu else None
    try:
        size = _cache_bytes(config, policy, device_bytes=gpu_bytes or host_bytes())
    except CacheError as error:
        raise ConfigError(str(error)) from None
    check_cache(config, size, gpu_bytes=gpu_bytes)
    return size / (1 << 20)


def _samples_on_gpu(config: Config) -> bool:
    if config.rollout.backend == "ray":
        return config.rollout.gpus_per_actor > 0
    return find_device(config) == "cuda"


def _cache_bytes(config: Config, policy: Policy, *, device_bytes: int) -> float:
    if (settings := _vllm_settings(config)) is not None:
        dtype = engine_dtype(config)
        settings.check_cache(policy.model, dtype)
        if settings.gpu_memory_utilization is not None:  # what weights leave of it
            weights = policy.num_parameters * dtype.itemsize / settings.num_devices
            return max(0.0, settings.gpu_memory_utilization * device_bytes - weights)
        return settings.cache_bytes(policy.model, dtype)
    return cache_bytes(
        policy.model,
        _largest_calls(config),
        prompt_tokens=config.rollout.max_prompt_tokens,
        max_rows=_max_rows(config),
        dtype=engine_dtype(config),
        bound=_cache_bound(config, policy),
    )


def _cache_bound(config: Config, policy: Policy) -> int:
    """Most bytes of the embedded engine's KV cache: what training can need, and one sample of evaluation."""
    if config.rollout.kv_cache_gib is not None:
        return int(config.rollout.kv_cache_gib * 2**30)
    training, evaluation = _largest_calls(config)
    return cache_bytes(
        policy.model,
        [training, CallSize(1, 1, evaluation.new_tokens)],
        prompt_tokens=config.rollout.max_prompt_tokens,
        max_rows=_max_rows(config),
        dtype=engine_dtype(config),
    )


def _max_rows(config: Config) -> int | None:
    """Most rows of the embedded engine: on a GPU, evaluation has no more than training."""
    if config.rollout.max_rows is None and _samples_on_gpu(config):
        return _largest_calls(config)[0].num_samples
    return config.rollout.max_rows


def _largest_calls(config: Config) -> list[CallSize]:
    """The largest calls of an engine, in training and in evaluation."""
    rollout, evaluation = config.rollout, config.eval
    eval_tokens = max([rollout.max_new_tokens, *evaluation.max_new_tokens.values()])
    return [
        CallSize(rollout.problems_per_batch, rollout.samples_per_problem, rollout.max_new_tokens),
        CallSize(evaluation.problems_per_batch, max(1, evaluation.num_samples), eval_tokens),
    ]


def _vllm_settings(config: Config) -> VllmSettings | None:
    rollout = config.rollout
    if rollout.engine != "vllm":
        return None
    training, evaluation = _largest_calls(config)
    rows = max(training.num_samples, evaluation.num_samples)
    sleep = rollout.enable_sleep_mode
    return VllmSettings(
        max_rows=min(rows, rollout.max_rows or rows),
        max_tokens=rollout.max_prompt_tokens + max(training.new_tokens, evaluation.new_tokens),
        cache_rows=min(training.num_samples, rollout.max_rows or rows),
        cache_tokens=rollout.max_prompt_tokens + training.new_tokens,
        gpu_memory_utilization=rollout.gpu_memory_utilization,
        kv_cache_bytes=None if rollout.kv_cache_gib is None else int(rollout.kv_cache_gib * 2**30),
        sleep=shares_gpu(config) and rollout.max_staleness == 0 if sleep == "auto" else sleep,
        arguments=rollout.vllm_args,
    )


def worker_spec(config: Config, parts: Parts, policy: Policy) -> WorkerSpec:
    """What a worker needs to sample from the policy."""
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
            max_rows=_max_rows(config),
            cuda_graphs=rollout.cuda_graphs,
            cache_bytes=_cache_bound(config, policy),
            calls=tuple(_largest_calls(config)),
            prompt_tokens=rollout.max_prompt_tokens,
            vllm=_vllm_settings(config),
        ),
        encoder=policy.encoder,
        env=parts.env,
        rewards=parts.rewards,
        sampling=Sampling(temperature=rollout.temperature, max_new_tokens=rollout.max_new_tokens),
        max_prompt_tokens=rollout.max_prompt_tokens,
    )


def build_pool(config: Config, parts: Parts, policy: Policy) -> RolloutPool:
    """Start the rollout pool, with a copy of the policy's current weights.

    Raises:
        ResourceError: The cluster has too few resources.
        VllmError, DecodingError: The engine cannot sample from this model.
    """
    rollout, spec = config.rollout, worker_spec(config, parts, policy)
    if rollout.backend == "local":
        return LocalPool(spec.build())
    from rollout.pools.ray_pool import RayPool  # Ray is only imported where it is used: it takes a second

    return RayPool(
        spec,
        num_actors=rollout.num_actors,
        cpus_per_actor=rollout.cpus_per_actor,
        gpus_per_actor=rollout.gpus_per_actor,
        deadline_s=rollout.deadline_s,
        max_restarts=rollout.max_restarts,
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
