"""Whole GRPO updates of models of several shapes on a CPU: the memory they take, beside the stated one.

`python -m tests.kit.update_memory` prints the table of docs/LOG.md. Each row runs in a process of its own,
whose peak resident memory is measured above what it had before the model was made.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.trainer_utils import SaveStrategy

from configs.schema.config import GrpoConfig, RolloutConfig
from envs import Split, make_env
from rl.bench.checksum_task import make_tokenizer
from rl.grpo.arguments import grpo_arguments
from rl.grpo.trainer import StrideTrainer
from rl.grpo.update import Updates
from rl.memory.learner import LearnerMemory, learner_memory
from rl.memory.passes import PassSimulation
from rl.models.policy import Policy
from rl.precision import Passes
from rollout.encoder import make_encoder
from tests.kit.rollouts import make_batch, make_group, make_sample, make_score
from tests.kit.scripted_pool import ScriptedSource

MIB = 1 << 20
_PROMPT = tuple(range(3, 19))
# Large blocks go back to the system when they are freed, so that resident memory follows what is allocated.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, and how it is trained: updates of two passes of `rows` rows of `width` tokens."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    vocabulary: int
    tied: bool = True
    lora: bool = False
    mixed_precision: bool = False
    checkpointing: bool = False
    optim: str = "adamw_torch_fused"
    rows: int = 3
    width: int = 256

    def model(self) -> Any:
        """Random weights: float32, or bfloat16 below an adapter where the passes are mixed."""
        config = Qwen2Config(
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            intermediate_size=self.mlp,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
        )
        model: Any = Qwen2ForCausalLM(config)
        if not self.lora:
            return model
        base = model.to(torch.bfloat16 if self.mixed_precision else torch.float32)
        return get_peft_model(base, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))

    def train(self, model: Any, folder: Path, *, updates: int = 2) -> None:
        """Updates on random completions, of which no weight moves far."""
        env = make_env("addition")
        generator = torch.Generator().manual_seed(0)
        groups = []
        for number in range(2):
            samples = []
            for row in range(self.rows):
                ids = torch.randint(3, 60, (self.width - len(_PROMPT),), generator=generator).tolist()
                samples.append(make_sample(make_score(float(row)), ids=ids, logprobs=[-1.0] * len(ids)))
            groups.append(
                make_group(env.problem(Split.TRAIN, number), samples, number=number, prompt_ids=_PROMPT)
            )
        grpo = GrpoConfig(
            updates=updates,
            problems_per_update=2,
            learning_rate=1e-9,
            max_logprob_diff=None,
            micro_batch_tokens=self.rows * self.width,
            optim=cast(Any, self.optim),
        )
        rollout = RolloutConfig(samples_per_problem=self.rows, max_new_tokens=self.width)
        made = Updates(
            cast(Any, ScriptedSource(make_batch(*groups))),
            cast(Any, _NoPool()),
            grpo,
            rollout,
            pad_id=0,
            on_rollouts=lambda update, rollouts, advantages: None,
            float32=False,
        )
        arguments = grpo_arguments(grpo, rollout, folder=folder, seed=0, passes=self.passes, report_to=[])
        arguments.save_strategy = SaveStrategy.NO
        policy = Policy(model=model, encoder=make_encoder(make_tokenizer(64)))
        StrideTrainer(policy, made, arguments, []).run()

    @property
    def passes(self) -> Passes:
        """How its passes run."""
        return Passes(cpu=True, mixed_precision=self.mixed_precision, checkpointing=self.checkpointing)

    def stated(self, model: Any) -> LearnerMemory:
        """What `rl.memory` says that it takes."""
        simulation = PassSimulation(
            model, mixed_precision=self.mixed_precision, checkpointing=self.checkpointing, on_gpu=False
        )
        return learner_memory(
            model,
            optim=self.optim,
            passes=simulation.measure(self.rows, self.width),
            tokens=self.rows * self.width,
            reference=False,
            four_bit=False,
            on_gpu=False,
        )


class _NoPool:
    """A pool whose weights nobody samples from."""

    def publish(self, weights: Any, version: int) -> None: ...

    def sleep(self) -> bool:
        return False


_SMALL: Mapping[str, Any] = {"hidden": 256, "layers": 4, "heads": 4, "kv_heads": 2, "mlp": 1024}
_MIDDLE: Mapping[str, Any] = {"hidden": 512, "layers": 8, "heads": 8, "kv_heads": 4, "mlp": 1536}
_MANY: Mapping[str, Any] = {"checkpointing": True, "mixed_precision": True}
CASES = (
    Case(**_SMALL, vocabulary=2_000),
    Case(**_MIDDLE, vocabulary=32_000),
    Case(**_MIDDLE, vocabulary=32_000, checkpointing=True),
    Case(**_MIDDLE, vocabulary=32_000, mixed_precision=True),
    Case(**_MIDDLE, vocabulary=32_000, **_MANY),
    Case(**_MIDDLE, vocabulary=32_000, lora=True),
    Case(**_MIDDLE, vocabulary=32_000, lora=True, **_MANY),
    Case(**_MIDDLE, vocabulary=32_000, checkpointing=True, rows=2, width=2048),
    Case(**_MIDDLE, vocabulary=32_000, lora=True, rows=2, width=2048),
    Case(**_MIDDLE, vocabulary=32_000, tied=False, optim="adafactor", checkpointing=True),
    Case(**_MIDDLE, vocabulary=32_000, tied=False, optim="sgd", mixed_precision=True, rows=4, width=512),
    Case(**_MIDDLE, vocabulary=32_000, tied=False, optim="muon", checkpointing=True),
    Case(**_SMALL, vocabulary=151_936),
    Case(**_SMALL, vocabulary=151_936, **_MANY, rows=4, width=512),
    Case(**_SMALL, vocabulary=151_936, lora=True, mixed_precision=True),
)


def measure(case: Case) -> tuple[int, int]:
    """Bytes that two updates take at most in this process, stated and measured."""
    torch.set_num_threads(1)
    first = Case(
        **{**asdict(case), "hidden": 64, "layers": 1, "heads": 2, "kv_heads": 2, "mlp": 64, "vocabulary": 64}
    )
    with tempfile.TemporaryDirectory() as folder:
        first.train(first.model(), Path(folder))  # whatever is imported and set up at the first update
        gc.collect()
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        model = case.model()
        case.train(model, Path(folder))
    return case.stated(model).peak, _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def _main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
        return
    for case in CASES:
        command = [sys.executable, "-m", "tests.kit.update_memory", json.dumps(asdict(case))]
        done = subprocess.run(
            command, env={**os.environ, **_MALLOC}, capture_output=True, text=True, check=True
        )
        stated, measured = json.loads(done.stdout.splitlines()[-1])
        given = {key: value for key, value in asdict(case).items() if key != "tied" or not value}
        print(f"{given}: {stated / MIB:,.0f} / {measured / MIB:,.0f} MiB = {stated / measured:.2f}", flush=True)


if __name__ == "__main__":
    _main()
