"""A vLLM that keeps weights and memory as vLLM does and samples one token each, where none is installed.

Its rules are those of vLLM 0.32 on a GPU (`v1/executor/abstract.py`, `v1/worker/gpu_worker.py`): memory is
awake by tag, sleep of level 2 discards the weights, and nothing reads or writes memory that is asleep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file

TOKEN, LOGPROB = 5, -0.5


@dataclass
class EngineArgs:
    """Some of vLLM's arguments."""

    model: str = ""
    quantization: str | None = None
    tensor_parallel_size: int = 1
    max_num_batched_tokens: int | None = None
    _api_process_rank: int = 0


class LLM:
    """Records its calls in `calls`; a call that vLLM would not survive is an error.

    Attributes:
        options: What it was made with.
        calls: Names of the calls, in order.
        prompts: Those of the last call of `generate`.
        params: Its sampling parameters.
        weights: By name in a model folder; None once they are discarded.
        adapter: Name of the adapter that is loaded.
    """

    made: LLM
    fails_with: str | None = None

    def __init__(self, folder: str, **options: Any) -> None:
        if LLM.fails_with is not None:
            raise ValueError(LLM.fails_with)
        self.options = options
        self.calls: list[str] = []
        self.awake = {"weights", "kv_cache"}
        self.weights: dict[str, torch.Tensor] | None = _read(folder)
        self.adapter: str | None = None
        self.prompts: list[Any] = []
        self.params: list[Any] = []
        self.llm_engine = SimpleNamespace(
            add_lora=self._add_lora, engine_core=SimpleNamespace(shutdown=lambda: None)
        )
        LLM.made = self

    def sleep(self, level: int = 1) -> None:
        assert "weights" in self.awake, "already asleep"
        self.awake.clear()
        if level == 2:
            self.weights = None
        self.calls.append(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        assert not self.awake & set(tags), "already awake"
        self.awake |= set(tags)
        self.calls.append(f"wake {' '.join(tags)}")

    def collective_rpc(
        self, method: str | Callable[[Any], None], kwargs: Mapping[str, Any] | None = None
    ) -> None:
        if callable(method):
            assert "kv_cache" in self.awake
            cache = torch.full((2, 3), torch.nan)
            method(SimpleNamespace(model_runner=SimpleNamespace(kv_caches=[cache])))
            assert not cache.any()
            self.calls.append("clear the cache")
            return
        assert method == "reload_weights" and kwargs is not None and "weights" in self.awake
        path = kwargs.get("weights_path")
        given = kwargs["weights_iterator"] if path is None else _read(path).items()
        self.weights = {name: tensor.clone() for name, tensor in given}
        self.calls.append("reload" if path is None else "reload from a folder")

    def apply_model(self, function: Callable[[torch.nn.Module], None]) -> None:
        assert "weights" in self.awake

    def reset_prefix_cache(self) -> bool:
        return True

    def generate(self, ids: list[Any], params: list[Any], **options: Any) -> list[Any]:
        assert self.awake == {"weights", "kv_cache"} and self.weights is not None
        lora = options["lora_request"]
        assert self.adapter == (None if lora is None else lora.name)
        self.calls.append("generate")
        self.prompts, self.params = ids, params
        one = SimpleNamespace(
            token_ids=[TOKEN], logprobs=[{TOKEN: SimpleNamespace(logprob=LOGPROB)}], finish_reason="length"
        )
        return [SimpleNamespace(outputs=[one]) for _ in params]

    def _add_lora(self, request: Any) -> None:
        assert "weights" in self.awake
        assert (Path(request.folder) / "adapter_model.safetensors").exists()
        self.adapter = request.name
        self.calls.append(f"adapter {request.name}")


class LoRARequest(SimpleNamespace):
    """An adapter in a folder."""

    def __init__(self, name: str, number: int, folder: str, load_inplace: bool = False) -> None:
        super().__init__(name=name, number=number, folder=folder)


def _read(folder: str) -> dict[str, torch.Tensor]:
    return {name: one for path in Path(folder).glob("*.safetensors") for name, one in load_file(path).items()}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `import vllm` find this one, for GPUs and Llama."""
    contents: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": LLM, "SamplingParams": SimpleNamespace, "TokensPrompt": dict},
        "vllm.config": {},
        "vllm.config.lora": {"MaxLoRARanks": Literal[1, 8, 16]},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"EngineArgs": EngineArgs},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.model_executor": {},
        "vllm.model_executor.models": {
            "ModelRegistry": SimpleNamespace(get_supported_archs=lambda: ["LlamaForCausalLM"])
        },
        "vllm.platforms": {"current_platform": SimpleNamespace(device_type="cuda")},
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(LLM, "fails_with", None)
