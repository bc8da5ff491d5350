"""Records that pass between engine, worker, pool and learner.

All are frozen and hold plain Python values, so they can be pickled as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from envs import Problem, Split, Trace
from envs.line_facts import LineFacts
from rewards import History, Outcome, Score


class PromptTooLongError(ValueError):
    """The prompt of a problem is over the limit."""

    exit_code: ClassVar[int] = 2


class PrefixError(ValueError):
    """A completion cannot be continued from the tokens that are given."""

    exit_code: ClassVar[int] = 2


class FinishReason(StrEnum):
    """Why sampling of a completion ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are sampled.

    Attributes:
        temperature: Divides the logits; 0 takes the likeliest token.
        max_new_tokens: Length limit of a completion in tokens, stop token included, and those of a prefix that
            it continues: prompt and completion never take more than without one.
        top_p: Sample from the fewest likeliest tokens that have this much probability together (nucleus
            sampling, Holtzman et al., arXiv 1904.09751, section 3.1). Training needs 1: the learner's
            log-probabilities are those of the whole vocabulary.
        top_k: Sample from this many likeliest tokens only (Fan et al., arXiv 1805.04833, section 5.4); None:
            from all. `top_p` then applies to their probabilities. Training needs None.
    """

    temperature: float
    max_new_tokens: int
    top_p: float = 1.0
    top_k: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt for an engine, with the samples wanted of it.

    Attributes:
        ids: Token ids of the prompt.
        seeds: A 64-bit seed for each sample.
        limits: A length limit in tokens for each sample, which counts where it is below
            `Sampling.max_new_tokens`; empty: none.
        prefix_ids: The first tokens of every completion, given instead of sampled. They are read as further
            prompt, as they are and once for all samples.
    """

    ids: tuple[int, ...]
    seeds: tuple[int, ...]
    limits: tuple[int, ...] = ()
    prefix_ids: tuple[int, ...] = ()

    @property
    def read_ids(self) -> tuple[int, ...]:
        """What an engine reads before it samples: the prompt, then the prefix."""
        return self.ids + self.prefix_ids if self.prefix_ids else self.ids

    def new_limits(self, limit: int) -> tuple[int, ...]:
        """The number of tokens that may be sampled of each completion, under a common limit of whole ones.

        Raises:
            PrefixError: The prefix leaves a completion no token.
        """
        given = len(self.prefix_ids)
        limits = [min(own, limit) - given for own in self.limits or (limit,) * len(self.seeds)]
        if given and min(limits) < 1:
            raise PrefixError(
                f"a prefix of {given} tokens leaves nothing to sample of a completion of at most "
                f"{min(limits) + given}; raise max_new_tokens, which counts whole completions, or give a "
                "shorter prefix"
            )
        return tuple(limits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One sampled completion.

    Example::

        Completion(ids=(14, 7, 2), logprobs=(-0.1, -1.2, -0.0), finish_reason=STOP, weight_version=3)

    Attributes:
        ids: All tokens, those of a given prefix and the stop token included; length 1 or more.
        logprobs: Natural log-probability of each sampled token under the distribution it was drawn from
            (temperature, top_k and top_p included); as many as `ids` has after the given ones.
        finish_reason: Stop token or length limit.
        weight_version: Version of the weights that sampled it.
        num_given: Number of its first tokens that were given as a prefix; 0 without one.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    weight_version: int
    num_given: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Continuations:
    """Continuations of the samples of a group, by which the worker estimates their values.

    Attributes:
        num: Continuations from a boundary of steps.
        every: Steps from one boundary that is continued to the next.
    """

    num: int
    every: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRequest:
    """A request for one group: which problem, how many samples, with which seed.

    Attributes:
        group_id: Position in the run's order of groups, from 0.
        split: Split of the problem.
        index: Index of the problem in its split.
        budget: Step budget stated in the prompt, or None.
        num_samples: G.
        seed: Run seed, from which the seeds of the samples are derived.
        history: The run so far, for the rewards; None outside of training, or if no reward reads it.
        evaluation: Whether it is for evaluation. There users' own rewards, which may fail on a sample and so
            leave it out, are not called.
        env: Which of the worker's other environments has the problem; empty: the run's own.
        prefix_ids: The first tokens of every completion, exactly as they were sampled, which the group
            continues; none of them: it continues from the start, with other draws than the samples of the
            group. Completions are read and scored whole. None: samples as usual.
        facts: Whether the samples come with what the environment knows of their lines.
        continuations: Whether, and how, their values are estimated by continuing them; None: they are not.
    """

    group_id: int
    split: Split
    index: int
    budget: int | None
    num_samples: int
    seed: int
    history: History | None = None
    evaluation: bool = False
    env: str = ""
    prefix_ids: tuple[int, ...] | None = None
    facts: bool = False
    continuations: Continuations | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One completion, parsed and scored.

    Attributes:
        completion: Tokens and log-probabilities.
        text: The decoded completion without its stop token.
        trace: The checked trace.
        score: The reward and its parts.
        facts: What the environment knows of each line of the trace; None if the request did not ask for it.
        values: The mean reward of continuations from each boundary of its steps (`step_boundaries`), from the
            first one that of the group; None at a boundary that was not continued. None if the request asked
            for none.
    """

    completion: Completion
    text: str
    trace: Trace
    score: Score
    facts: tuple[LineFacts, ...] | None = None
    values: tuple[float | None, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutGroup:
    """The samples of one problem.

    Attributes:
        group_id: As requested.
        problem: The problem, with the prompt that was used.
        prompt_ids: Token ids of the prompt.
        samples: The scored samples, in the order of their seeds: G, less `ungraded`.
        ungraded: Completions left out because a grader or a user's reward failed on them, which says nothing
            about them.
        failure: Message of the last such failure; empty without one.
        extra_tokens: Tokens sampled beside those of the samples: those of continuations.
        extra_ungraded: Continuations left out for the same reason as completions; values are means of the rest.
    """

    group_id: int
    problem: Problem
    prompt_ids: tuple[int, ...]
    samples: tuple[Sample, ...]
    ungraded: int = 0
    failure: str = ""
    extra_tokens: int = 0
    extra_ungraded: int = 0

    @property
    def rewards(self) -> tuple[float, ...]:
        """Total reward of each sample."""
        return tuple([sample.score.total for sample in self.samples])

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether the answer of each sample is right."""
        return tuple([s.score.outcome in (Outcome.VERIFIED, Outcome.CORRECT) for s in self.samples])


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The groups of one engine call, in the order of its requests.

    Attributes:
        groups: Finished groups.
        sample_s: Seconds spent sampling tokens, and on continuations.
        score_s: Seconds spent parsing, checking and scoring them.
    """

    groups: tuple[RolloutGroup, ...]
    sample_s: float
    score_s: float
