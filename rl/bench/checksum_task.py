"""The task of the update benchmarks: the workload's prompts, rewarded with a checksum of the text.

A checksum differs within every group, so that every group has a signal, and it costs next to nothing, so that
no trainer is charged for grading.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from envs import Env, Grade, Problem, Split, Trace, parse_trace
from rewards import History, Outcome, Score
from rl.bench.models import NO_STOP, PAD, STOP, VOCABULARY
from rl.bench.workload import Workload
from rollout.engines.embedded import TorchEngine
from rollout.types import Completion, RolloutGroup, Sample, Sampling


def make_tokenizer(vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A tokenizer with one word for every token id."""
    words = {_word(token): token for token in range(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=_word(PAD)))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_word(PAD), eos_token=_word(STOP), padding_side="left"
    )


def _word(token: int) -> str:
    return f"w{token:03}"


def sample_groups(model: LlamaForCausalLM, workload: Workload, threads: int = 1) -> list[RolloutGroup]:
    """Scored groups with the lengths of the workload and the model's own log-probabilities."""
    engine = TorchEngine(copy.deepcopy(model), stop_ids=[NO_STOP], pad_id=PAD, threads=threads)
    sampling = Sampling(temperature=1.0, max_new_tokens=max(workload.lengths))
    sampled = engine.generate(workload.requests, sampling)
    tokenizer, task = make_tokenizer(), ChecksumTask(workload)
    return [
        RolloutGroup(
            group_id=g,
            problem=task.problem(Split.TRAIN, g),
            prompt_ids=workload.prompts[g],
            samples=tuple(
                _score(completion, str(tokenizer.decode(list(completion.ids), skip_special_tokens=True)))
                for completion in group
            ),
        )
        for g, group in enumerate(sampled)
    ]


def _score(completion: Completion, text: str) -> Sample:
    total = checksum(text)
    score = Score(total=total, parts={"checksum": total}, outcome=Outcome.TRUNCATED)
    return Sample(completion=completion, text=text, trace=parse_trace(text, truncated=True), score=score)


def checksum(text: str) -> float:
    """A reward from 0 to 1 that costs next to nothing and differs within groups."""
    return zlib.crc32(text.encode()) / 2**32


class ChecksumTask(Env[int]):
    """The workload's prompts as problems; nothing is checked."""

    name = "bench"
    checks_steps = False
    has_solutions = False

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.prompts = [" ".join(map(_word, ids)) for ids in workload.prompts]

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The prompt with this index, again from the first after the last."""
        prompt = self.prompts[index % len(self.prompts)]
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=prompt,
            prompt=prompt,
            answer="",
            num_full_steps=1,
            difficulty=1,
        )

    def with_budget(self, problem: Problem, budget: int | None) -> Problem:
        """The problem unchanged: its prompt has the workload's length."""
        return problem

    def start(self, problem: Problem) -> int:
        """No step yet."""
        return 0

    def advance(self, state: int, line: str) -> int:
        """Any line is a step."""
        return state + 1

    def finished(self, state: int) -> bool:
        """Always."""
        return True

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Never right: the checksum is the reward."""
        return Grade.WRONG

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        """Every line as a step."""
        return parse_trace(text, truncated=truncated)

    def check(self, problem: Problem, trace: Trace) -> Trace:
        """The trace, unchanged."""
        return trace


class Checksums:
    """Stands in for the reward (a `Scorer`)."""

    def __call__(
        self,
        problem: Problem,
        traces: Sequence[Trace],
        history: History | None = None,
        *,
        user_rewards: bool = True,
    ) -> list[Score]:
        """The checksum of each text."""
        totals = [checksum("".join(step.text for step in trace.steps)) for trace in traces]
        return [Score(total=t, parts={"checksum": t}, outcome=Outcome.TRUNCATED) for t in totals]

    def close(self) -> None:
        """Nothing to close."""
