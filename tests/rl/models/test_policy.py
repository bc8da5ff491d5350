"""Policies: created, found, saved, loaded, and refused early."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors import safe_open
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from configs.schema.config import LoraSettings, PolicyConfig, TinyModelConfig
from envs import Split, make_env
from rl.models.files import PolicyError
from rl.models.policy import Policy, load_policy
from rl.models.saved_adapter import check_model
from rollout.prompt_format import PromptFormat
from tests.kit.byte_tokenizer import FAMILIES
from tests.kit.model_families import make_family

ENV = make_env("addition")
TINY = TinyModelConfig(hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, max_positions=64)
SMALL = PolicyConfig(model="tiny", tiny=TINY)


def logits(policy: Policy) -> torch.Tensor:
    ids = torch.tensor([policy.encoder.encode_prompt(ENV.problem(Split.ID, 0))])
    policy.model.eval()
    with torch.no_grad():
        return policy.model(input_ids=ids).logits


def refuse(config: PolicyConfig, **more: Any) -> str:
    with pytest.raises(PolicyError) as refused:
        load_policy(config, ENV, seed=0, **more)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary model folder."""
    path = tmp_path_factory.mktemp("models") / "small"
    load_policy(SMALL, ENV, seed=5).save(path)
    return path


# ---- from scratch ----


def test_weights_are_drawn_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = logits(load_policy(SMALL, ENV, seed=3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(logits(load_policy(SMALL, ENV, seed=3)), one)
    assert not torch.equal(logits(load_policy(SMALL, ENV, seed=4)), one)


def test_attention_biases_are_added_when_configured(tmp_path: Path) -> None:
    config = PolicyConfig(model="tiny", tiny=TINY.model_copy(update={"attention_bias": True}))
    policy = load_policy(config, ENV, seed=0)
    assert policy.num_parameters == load_policy(SMALL, ENV, seed=0).num_parameters + 2 * 4 * 16
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(0.5)
    policy.save(tmp_path / "saved")
    assert torch.equal(logits(load_policy(config, ENV, seed=1, checkpoint=tmp_path / "saved")), logits(policy))


def test_dtype(folder: Path) -> None:
    """Weights take the dtype; rotary frequencies are float32 in every model."""
    for config in (SMALL, PolicyConfig(model=str(folder))):
        policy = load_policy(config.model_copy(update={"dtype": "bfloat16"}), ENV, seed=3)
        assert {parameter.dtype for parameter in policy.model.parameters()} == {torch.bfloat16}
        assert {buffer.dtype for buffer in policy.model.buffers()} == {torch.float32}


def test_number_of_parameters() -> None:
    policy = load_policy(SMALL, ENV, seed=3)
    words = len(policy.tokenizer)
    # Embedding, shared with the head; per layer 4 attention and 3 MLP matrices and 2 norms; a last norm.
    layer = 4 * 16 * 16 + 3 * 16 * 32 + 2 * 16
    assert policy.num_parameters == words * 16 + 2 * layer + 16


# ---- saved and loaded ----


def test_a_saved_model_is_the_same_model(tmp_path: Path) -> None:
    policy = load_policy(SMALL, ENV, seed=3)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.25)
    policy.save(tmp_path)
    again = load_policy(SMALL, ENV, seed=99, checkpoint=tmp_path)
    assert torch.equal(logits(again), logits(policy))
    assert again.encoder.stop_ids == policy.encoder.stop_ids
    # It is an ordinary folder: a run can start from it by its path.
    by_path = load_policy(PolicyConfig(model=str(tmp_path)), ENV, seed=7)
    assert torch.equal(logits(by_path), logits(policy))
    assert by_path.encoder.encode("Add 3 and 45\n") == policy.encoder.encode("Add 3 and 45\n")


def test_a_saved_adapter_is_the_same_adapter(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"lora": LoraSettings(r=2, alpha=4)})
    policy = load_policy(config, ENV, seed=3)
    assert torch.allclose(logits(policy), logits(load_policy(SMALL, ENV, seed=3)))  # new adapters do nothing
    trained = {name for name, p in policy.model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if name in trained:
                parameter.add_(0.25)
    policy.save(tmp_path)
    assert (tmp_path / "adapter_config.json").is_file()
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        assert all("lora_" in key for key in file.keys())  # noqa: SIM118 - not a dict
    again = load_policy(config, ENV, seed=3, checkpoint=tmp_path)
    assert torch.equal(logits(again), logits(policy))
    assert {name for name, p in again.model.named_parameters() if p.requires_grad} == trained


def test_adapters_are_drawn_from_the_seed() -> None:
    config = SMALL.model_copy(update={"lora": LoraSettings(r=2)})

    def drawn(seed: int) -> list[torch.Tensor]:
        model = load_policy(config, ENV, seed=seed).model
        return [p for name, p in model.named_parameters() if "lora_A" in name]

    assert all(torch.equal(a, b) for a, b in zip(drawn(1), drawn(1), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn(1), drawn(2), strict=True))


def test_weights_inside_a_package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_weights"
    package.mkdir()
    for file in folder.iterdir():
        (package / file.name).write_bytes(file.read_bytes())
    (package / "__init__.py").write_text("raise RuntimeError('weights are found without running this')\n")
    monkeypatch.syspath_prepend(tmp_path)
    policy = load_policy(PolicyConfig(model="package:some_weights"), ENV, seed=0)
    assert torch.equal(logits(policy), logits(load_policy(SMALL, ENV, seed=5)))


@pytest.mark.parametrize(
    ("generation", "kept"),
    [
        ({"do_sample": False, "temperature": 0.6}, {"do_sample": True, "temperature": 0.6}),
        ({"do_sample": False, "top_p": 0.9, "top_k": 20}, {"do_sample": True, "top_p": 0.9, "top_k": 20}),
        ({"length_penalty": 0.5}, {"length_penalty": None}),
        ({"do_sample": True, "temperature": 0.6}, {"do_sample": True, "temperature": 0.6}),
    ],
)
def test_defaults_of_generate_that_the_library_does_not_save_are_repaired(
    generation: dict[str, Any], kept: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 4], **generation}))
    policy = load_policy(PolicyConfig(model=str(tmp_path)), ENV, seed=0)
    assert set(policy.encoder.stop_ids) == {1, 4}
    policy.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert saved["eos_token_id"] == [1, 4]
    assert {key: saved.get(key) for key in kept} == kept


# ---- refused ----


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("package:no_such_weights", ["'package:no_such_weights'", "'no_such_weights' is not installed"]),
        ("./nowhere", ["policy.model './nowhere': no such folder"]),
        ("/nowhere/at/all", ["policy.model '/nowhere/at/all': no such folder"]),
        ("~/models/mine", ["policy.model '~/models/mine': no such folder"]),
        ("a/b/c", ["policy.model 'a/b/c': no such folder"]),
    ],
)
def test_missing_models(model: str, parts: list[str]) -> None:
    message = refuse(PolicyConfig(model=model))
    for part in parts:
        assert part in message


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    message = refuse(PolicyConfig(model=str(tmp_path)))
    assert message.startswith(f"policy.model '{tmp_path}' cannot be loaded: ")
    message = refuse(SMALL, checkpoint=tmp_path)
    assert message == f"{tmp_path} is not a model folder: it has neither config.json nor adapter_config.json"


def test_a_model_that_the_loss_cannot_read(folder: Path, tmp_path: Path) -> None:
    make_family("llama4_text").save_pretrained(tmp_path)
    for file in folder.glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    message = refuse(PolicyConfig(model=str(tmp_path)))
    assert "TRL does not find the layers of Llama4ForCausalLM below its output layer" in message


def test_a_tokenizer_without_an_end(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    message = refuse(PolicyConfig(model=str(tmp_path)))
    assert f"policy.model '{tmp_path}': the tokenizer has no end-of-text (eos) token" in message
    assert "set `eos_token` in its tokenizer_config.json" in message


def test_a_chat_model_stops_at_the_end_of_its_turn_here_and_where_it_is_loaded_next(tmp_path: Path) -> None:
    tokenizer = FAMILIES["qwen"].tokenizer()
    end, text_end = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=text_end, **size)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    policy = load_policy(PolicyConfig(model=str(tmp_path / "base")), ENV, seed=0)
    assert policy.encoder.stop_ids == (end, text_end)
    policy.save(tmp_path / "trained")
    assert GenerationConfig.from_pretrained(tmp_path / "trained").eos_token_id == [end, text_end]
    plain = load_policy(
        PolicyConfig(model=str(tmp_path / "base")), ENV, prompts=PromptFormat(chat_template=False), seed=0
    )
    assert plain.encoder.stop_ids == (text_end,)


def test_a_missing_chat_template(folder: Path) -> None:
    message = refuse(PolicyConfig(model=str(folder)), prompts=PromptFormat(chat_template=True))
    assert "prompt.chat_template is true, but the tokenizer has no chat template; remove the setting" in message


# ---- the hub ----


@contextmanager
def hub(answer: bytes | None) -> Iterator[tuple[str, list[float]]]:
    """A server that gives every request the same answer, or none; yields its address and request times."""
    request_times: list[float] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                request_times.append(time.perf_counter())
                held.append(client)
                if answer is not None:
                    client.recv(65536)
                    client.sendall(answer)
                    client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", request_times
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for client in held:
                client.close()


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BROKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [NOT_FOUND, BROKEN, pytest.param(None, marks=pytest.mark.slow)],
    ids=["not found", "broken", "silent"],
)
def test_a_model_that_the_hub_refuses(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with hub(answer) as (address, request_times):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        started = time.perf_counter()
        message = refuse(PolicyConfig(model="someone/no-such-model"))
        took = time.perf_counter() - started
    assert "policy.model 'someone/no-such-model' is neither a folder nor in the local cache" in message
    assert "give the path of a model folder, a hub id that is in the local cache, or 'tiny'" in message
    assert took < 60
    assert 1 <= len(request_times) <= 2  # no endless retries


@pytest.fixture
def two_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The hub model `someone/small` in the local cache, as `main` and as `v2`; their commits by name."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commits = {"main": "a" * 40, "v2": "b" * 40}
    (tmp_path / "models--someone--small/refs").mkdir(parents=True)
    for seed, (name, commit) in enumerate(commits.items()):
        (tmp_path / "models--someone--small/refs" / name).write_text(commit)
        load_policy(SMALL, ENV, seed=seed).save(tmp_path / "models--someone--small/snapshots" / commit)
    return commits


@pytest.mark.parametrize("revision", [None, "main", "v2", "b" * 40])
def test_a_revision_of_a_hub_model(revision: str | None, two_revisions: dict[str, str]) -> None:
    config = PolicyConfig(model="someone/small", revision=revision)
    check_model(config)
    policy = load_policy(config, ENV, seed=0)
    name = "main" if revision in (None, "main") else "v2"
    assert policy.commit == two_revisions[name]
    assert torch.equal(logits(policy), logits(load_policy(SMALL, ENV, seed=list(two_revisions).index(name))))


def test_an_adapter_on_the_hub(two_revisions: dict[str, str], tmp_path: Path) -> None:
    """Its base is the revision that the adapter names."""
    lora = LoraSettings(r=2, alpha=4)
    policy = load_policy(PolicyConfig(model="someone/small", revision="v2", lora=lora), ENV, seed=0)
    for name, parameter in policy.model.named_parameters():
        parameter.data.add_(0.1 if "lora_" in name else 0.0)
    (tmp_path / "models--someone--adapter/refs").mkdir(parents=True)
    (tmp_path / "models--someone--adapter/refs/main").write_text("c" * 40)
    snapshot = tmp_path / "models--someone--adapter/snapshots" / ("c" * 40)
    policy.save(snapshot)
    for config in (
        PolicyConfig(model="someone/adapter", lora=lora),
        PolicyConfig(model="someone/adapter", merge_adapter=True),
    ):
        check_model(config)
        again = load_policy(config, ENV, seed=0)
        assert torch.allclose(logits(again), logits(policy), atol=1e-5)
        assert again.commit == "c" * 40


def test_a_revision_that_is_not_there(two_revisions: dict[str, str], folder: Path) -> None:
    message = refuse(PolicyConfig(model="someone/small", revision="v3"))
    assert (
        "policy.model 'someone/small' at policy.revision 'v3' is neither a folder nor in the local " in message
    )
    message = refuse(PolicyConfig(model=str(folder), revision="v2"))
    assert message.endswith("is not on the hub; set policy.revision to null")
    with pytest.raises(PolicyError, match=r"policy\.revision is set, but policy\.model is 'tiny'"):
        check_model(PolicyConfig(revision="v2"))


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"  # closed again: nobody listens there
    monkeypatch.setattr(constants, "ENDPOINT", address)
    started = time.perf_counter()
    message = refuse(PolicyConfig(model="someone/no-such-model"))
    assert time.perf_counter() - started < 60
    assert "'someone/no-such-model'" in message


def test_offline_mode_sends_no_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with hub(NOT_FOUND) as (address, request_times):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        message = refuse(PolicyConfig(model="someone/no-such-model"))
    assert request_times == []
    assert "is neither a folder nor in the local cache (offline); give the path of a model folder" in message
