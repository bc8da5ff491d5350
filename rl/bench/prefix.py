"""The price of sampling from a prefix: k continuations beside k samples of the remaining length.

Both have the same model, the same prompt and the same number of new tokens; the continuations read the prefix
once, and attend to it at every token. What the reading alone costs is measured with one new token each. Time is
CPU time of this process, since all run on its threads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from rl.bench.models import NO_STOP, PAD, VOCABULARY
from rl.bench.workload import make_bench_model
from rollout.engines.embedded import TorchEngine
from rollout.types import Prompt, Sampling

PROMPT_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class Price:
    """One round, as multiples of the CPU time of the samples.

    Of a price of 1.15 with a reading of 0.05, the other 0.10 are for attending to the prefix at every token.

    Attributes:
        ratio: The continuations.
        reading: Reading the prefixes, within the ratio.
    """

    ratio: float
    reading: float


def price_of_prefixes(
    model: str,
    *,
    samples: int,
    prefix_tokens: int,
    new_tokens: int,
    groups: int,
    rounds: int,
    threads: int,
    say: Callable[[str], None] = lambda line: None,
) -> list[Price]:
    """CPU time of continuations over that of samples of the same number of new tokens, for each round.

    Args:
        model: Name in `MODELS`.
        samples: k, continuations of a prefix.
        prefix_tokens: Length of each prefix.
        new_tokens: Tokens sampled after it.
        groups: Prefixes in a call, each with a prompt of its own.
        rounds: Rounds, after one to warm up; they take turns to be first.
        threads: Threads of the engine.
        say: Called with a line for each round.
    """
    engine = TorchEngine(make_bench_model(model), stop_ids=[NO_STOP], pad_id=PAD, threads=threads)
    draw = random.Random(0)

    def tokens(num: int) -> tuple[int, ...]:
        return tuple(draw.randrange(2, VOCABULARY) for _ in range(num))

    plain = [
        Prompt(ids=tokens(PROMPT_TOKENS), seeds=tuple(range(samples * group, samples * (group + 1))))
        for group in range(groups)
    ]
    continued = [
        Prompt(ids=prompt.ids, seeds=prompt.seeds, prefix_ids=tokens(prefix_tokens)) for prompt in plain
    ]

    def seconds(prompts: list[Prompt], limit: int) -> float:
        started = time.process_time()
        engine.generate(prompts, Sampling(temperature=1.0, max_new_tokens=limit))
        return time.process_time() - started

    laps = [
        lambda: seconds(plain, new_tokens),
        lambda: seconds(continued, prefix_tokens + new_tokens),
        lambda: seconds(plain, 1),
        lambda: seconds(continued, prefix_tokens + 1),
    ]
    prices = []
    for number in range(rounds + 1):
        order = range(4) if number % 2 else reversed(range(4))
        lap = {which: laps[which]() for which in order}
        if number:
            prices.append(Price(ratio=lap[1] / lap[0], reading=(lap[3] - lap[2]) / lap[0]))
            say(
                f"round {number}/{rounds}: {lap[1]:.2f} s of {lap[0]:.2f} s, {prices[-1].ratio:.3f} x, of it "
                f"{prices[-1].reading:.3f} for reading"
            )
    return prices
