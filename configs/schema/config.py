"""The one schema every config file is checked against.

In: plain data from YAML and the command line (`load.py`). Out: a frozen `Config`. Each section belongs to
one stage and is ordered from what nearly every run sets to what few do. Nothing here imports the packages it
configures: names of environments and rewards are looked up, with their own messages, when a run is built.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DType = Literal["float32", "bfloat16"]
SplitName = Literal["train", "id", "ood_easy", "ood_hard"]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, numbers are finite, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EnvConfig(Section):
    """Which task, and how hard."""

    name: str
    """Registered environment: `addition`, `countdown`, `sudoku`, ...; an unknown name lists them all."""
    settings: dict[str, Any] = {}
    """The environment's own settings: buckets per split, `max_merge`, data `seed`."""


class TinyModelConfig(Section):
    """A small Llama made from scratch, with a tokenizer made from the task's own text."""

    hidden_size: int = Field(128, ge=8)
    """Width of the residual stream."""
    num_layers: int = Field(4, ge=1)
    """Decoder blocks."""
    num_heads: int = Field(4, ge=1)
    """Attention heads; must divide `hidden_size`."""
    intermediate_size: int = Field(512, ge=8)
    """Width of the MLP."""
    attention_bias: bool = False
    """Biases in the projections of the attention, as GPT-2 has them; without, looking up is learnt later."""
    max_positions: int = Field(1024, ge=16)
    """Longest prompt plus completion, in tokens."""
    number_digits: int = Field(1, ge=1, le=3)
    """Numbers of up to this many digits are one token each; longer ones are read digit by digit."""
    join_signs: bool = False
    """Such a number and the sign right after it ("4,", "2)") are one token, which halves what a graph takes."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TinyModelConfig:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of 2 * num_heads ({2 * self.num_heads})"
            )
        return self


class LoraSettings(Section):
    """A low-rank adapter (peft); the base weights stay frozen."""

    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale: updates are multiplied by alpha / r."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input while the warm start trains. GRPO needs 0: see `rl/policy.py`."""
    target_modules: list[str] | Literal["all-linear"] = "all-linear"
    """Which linear layers get an adapter."""


class PolicyConfig(Section):
    """The model that is trained."""

    model: str = "tiny"
    """`tiny` (made from scratch), a Hugging Face folder, a hub id, or `package:NAME` for weights inside an
    installed Python package."""
    tiny: TinyModelConfig = TinyModelConfig()
    """Size of the `tiny` model."""
    lora: LoraSettings | None = None
    """Train an adapter instead of all weights."""
    gguf_file: str | None = None
    """File name inside `model` where the weights are in GGUF format."""
    chat_template: bool = False
    """Put the prompt into the tokenizer's chat template as a user message."""
    system_prompt: str | None = None
    """System message, with `chat_template`."""
    dtype: DType = "float32"
    """Of the trained weights. With `bfloat16`, small updates are rounded away unless `lora` is set."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model."""


class CurriculumStage(Section):
    """Easier problems, learnt first."""

    settings: dict[str, Any]
    """Settings of the environment that differ in this stage."""
    updates: int = Field(ge=1)
    """How many of the warm start's optimiser steps it takes."""


class WarmStartConfig(Section):
    """Supervised fine-tuning on full and hand-skipped traces, before GRPO."""

    updates: int = Field(1000, ge=1)
    """Optimiser steps."""
    curriculum: list[CurriculumStage] = []
    """Stages at the start, in order; the updates they leave are on the problems of `env`. They may leave none:
    then GRPO meets problems that no trace has shown."""
    num_problems: int = Field(4000, ge=1)
    """Train problems the traces are made of, of each stage; they are seen again once used up."""
    batch_size: int = Field(64, ge=1)
    """Traces per update."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Traces per forward pass; must divide `batch_size`. None: all at once."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak, reached after `warmup_frac` and then lowered to 0 along a cosine."""
    warmup_frac: float = Field(0.05, ge=0, le=1)
    """Share of the updates."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""
    skipped_frac: float = Field(0.5, ge=0, le=1)
    """Share of hand-skipped traces in the mix. 0 is the cold start: full traces only."""
    skip_kinds: list[str] = []
    """Hand-skip rules of the environment to use, drawn alike. Empty: its first."""
    detour_frac: float = Field(0.0, ge=0, le=1)
    """Share of traces with detours: wrong turns taken back by a backtrack. 0.5 is one to each trace without."""
    num_detours: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [1]
    """How many detours such a trace has, drawn alike from this list."""
    error_mix: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Kinds of wrong turns and how often each is drawn. Empty: the environment's, drawn alike."""
    mask_wrong_steps: bool = True
    """Take the wrong step of a detour out of the loss: it is read, not imitated."""
    detour_control: bool = False
    """In place of each trace with detours, one of the same length without: tells backtracks from length."""
    search_frac: float = Field(0.0, ge=0, le=1)
    """Share of traces of a systematic search, with the backtracks it needs."""
    budget_frac: float = Field(0.0, ge=0, le=1)
    """Share of prompts that state the number of steps of their trace."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints. None: only at the end."""

    @model_validator(mode="after")
    def _shares_fit(self) -> WarmStartConfig:
        shares = {"skipped": self.skipped_frac, "detour": self.detour_frac, "search": self.search_frac}
        if sum(shares.values()) > 1 + 1e-9:
            named = " + ".join(f"{key}_frac ({share:g})" for key, share in shares.items())
            raise ValueError(f"{named} is over 1; the rest of the mix is full traces")
        if self.error_mix and not sum(self.error_mix.values()) > 0:
            raise ValueError("error_mix has no kind with a weight above 0; leave it empty to draw all alike")
        return self

    @model_validator(mode="after")
    def _curriculum_fits(self) -> WarmStartConfig:
        if (taken := sum(stage.updates for stage in self.curriculum)) > self.updates:
            raise ValueError(f"updates is {self.updates}, but the curriculum takes {taken}; raise it to that")
        return self

    @model_validator(mode="after")
    def _micro_divides(self) -> WarmStartConfig:
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size ({self.micro_batch_size}) must divide batch_size ({self.batch_size})"
            )
        return self


class RolloutConfig(Section):
    """How completions are sampled."""

    backend: Literal["local", "ray"] = "local"
    """`local`: in this process, for debugging. `ray`: actors."""
    engine: Literal["torch", "vllm"] = "torch"
    """What samples the tokens. `torch`: the embedded engine. `vllm`: vLLM, which is installed apart."""
    samples_per_problem: int = Field(8, ge=2)
    """G, the size of a group. GRPO compares the samples of a group, so 1 cannot work."""
    max_prompt_tokens: int = Field(256, ge=1)
    """A longer prompt is refused."""
    max_new_tokens: int = Field(256, ge=1)
    """Length limit of a completion."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature; the log-probabilities used for training include it."""
    problems_per_batch: int = Field(8, ge=1)
    """Groups an engine samples in one batch. Part of what makes two runs bit-identical, so it does not
    depend on the number of actors."""
    max_rows: int | None = Field(None, ge=1)
    """Completions an engine samples at one time, a group at least; others wait until some have finished. None:
    the whole batch. Bounds the memory of keys and values."""
    max_staleness: int = Field(0, ge=0)
    """Batches that actors sample ahead while the learner is at work; needs `backend: ray`. Completions are then
    up to this many batches older than the weights they train, which the ratio in the loss corrects. 0: strictly
    on-policy. Nothing is sampled ahead across a checkpoint, so that resuming stays exact."""
    num_actors: int = Field(2, ge=1)
    """Ray actors."""
    cpus_per_actor: float = Field(1, ge=0)
    """Cores Ray sets aside for an actor."""
    gpus_per_actor: float = Field(0, ge=0)
    """GPUs, fractions allowed. 0: the actor samples on the CPU."""
    threads: int = Field(1, ge=1)
    """CPU threads of one engine, in this process or in an actor."""
    dtype: DType | None = None
    """Of the engine's copy of the weights. None: as `policy.dtype`."""
    cuda_graphs: bool = True
    """On a GPU, record the steps of the embedded engine's written-out families once and replay them."""
    deadline_s: float = Field(600, gt=0)
    """An actor that has not returned a batch after this long is replaced and the batch sampled again."""
    max_restarts: int = Field(8, ge=0)
    """Actor replacements in a run before it gives up."""
    max_ungraded: int = Field(32, ge=0)
    """Completions left out of a run, because a grader failed and not the answer, before it gives up."""


Share = Annotated[float, Field(ge=0, le=1)]


class WhenConfig(Section):
    """In which groups a part counts at all."""

    group_accuracy: tuple[Share, Share] = (0.0, 1.0)
    """Least and largest share of right samples in the group."""
    running_accuracy: tuple[Share, Share] = (0.0, 1.0)
    """Least and largest share of right samples over the last 16 batches."""
    off_best: Share | None = None
    """How far that share may be below the highest it has been. Give it room for noise: a few hundredths more
    where batches are small."""

    @model_validator(mode="after")
    def _in_order(self) -> WhenConfig:
        for key in ("group_accuracy", "running_accuracy"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key} is [{low:g}, {high:g}]; give the smaller one first")
        return self


class RewardTermConfig(Section):
    """One named part of the reward.

    An entry `preset: NAME` stands for the terms of `configs/rewards/NAME.yaml`, or of the file at a path; a
    term given by name takes the place of the preset's.
    """

    name: str
    """Registered reward, or your own as `package.module:function`."""
    weight: float
    """Multiplies the reward's value; the part is logged after weighting."""
    gate: Literal["none", "correct", "verified"] = "none"
    """Count this part only where the answer is right (`correct`), or right with every step valid
    (`verified`)."""
    when: WhenConfig = WhenConfig()
    """Count this part only in some groups."""
    schedule: dict[Annotated[int, Field(ge=0)], float] = {}
    """Factors of the weight by update, linear between them: `{0: 0, 50: 1}` brings it in over 50 updates."""
    args: dict[str, Any] = {}
    """Arguments of the reward function."""


class AdvantageWeightConfig(Section):
    """low + (high - low) / (1 + exp(slope * (accuracy - midpoint))), a factor of advantages (GRPO-LEAD)."""

    low: float = Field(0.4, ge=0)
    """Where all is right."""
    high: float = Field(1.5, ge=0)
    """Where nothing is right."""
    midpoint: float = Field(0.75, ge=0, le=1)
    """Accuracy half-way."""
    slope: float = Field(10.0, gt=0)
    """Steepness there."""


class RewardsConfig(Section):
    """The parts the reward is the sum of."""

    terms: list[RewardTermConfig] = Field(min_length=1)
    """Parts; their weighted values add up to the total."""
    allow_wrong_above_right: bool = False
    """Accept weights with which a wrong answer can earn more than a right one."""
    advantage_weight: AdvantageWeightConfig | None = None
    """Multiply positive advantages by the weight of the group's accuracy, negative ones by that of its share of
    wrong answers. None: leave them."""
    timeout_s: float = Field(10.0, gt=0)
    """Seconds a reward of your own may take for a sample, or for a group if it takes groups."""


class GrpoConfig(Section):
    """Group-relative policy optimisation (TRL's GRPOTrainer does the update)."""

    updates: int = Field(100, ge=1)
    """Optimiser steps."""
    problems_per_update: int = Field(16, ge=1)
    """P. An update trains on P * rollout.samples_per_problem completions."""
    learning_rate: float = Field(1e-5, gt=0)
    """Peak."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After `warmup_updates`."""
    warmup_updates: int = Field(0, ge=0)
    """Updates over which the learning rate rises from 0."""
    micro_batch_tokens: int | None = Field(None, ge=1)
    """Tokens per forward pass, padding included. Changes memory and speed, not the update. Completions are
    sorted by length and cut where that leaves least padding; a longer one has a pass of its own. None: 16,384
    on a GPU; 768 on a CPU, where larger passes take memory and save no time."""
    dynamic_sampling: bool = True
    """Replace zero-variance groups, whose rewards are all equal and give no gradient, by further problems until
    P groups have a signal (DAPO, arXiv 2503.14476, section 3.2). Off: train on those of the first P that have
    one."""
    max_resamples: int = Field(3, ge=0)
    """With `dynamic_sampling`, how many times P further problems at most are sampled in one update."""
    scale_rewards: bool = True
    """Divide advantages by the group's standard deviation (GRPO); False leaves them (Dr. GRPO)."""
    loss_type: Literal["dapo", "grpo", "bnpo", "dr_grpo"] = "dapo"
    """How token losses are averaged; see TRL."""
    epsilon: float = Field(0.2, gt=0)
    """Clip range of the ratio, below and (unless `epsilon_high` is set) above 1."""
    epsilon_high: float | None = Field(None, gt=0)
    """Upper clip range (clip-higher)."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL term against the warm-started model."""
    num_iterations: int = Field(1, ge=1)
    """Passes over each batch of completions."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradient clipping."""
    budget_frac: float = Field(0.0, ge=0, le=1)
    """Share of prompts that state a step budget, drawn between half and all of the full trace's steps."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints. None: only at the end."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many of the newest checkpoints stay on disk."""
    max_logprob_diff: float | None = Field(None, gt=0)
    """Stop where sampler and learner disagree on a token's log-probability by more than this."""


class EvalConfig(Section):
    """Evaluation before, between and after the stages."""

    splits: list[SplitName] = ["id", "ood_easy", "ood_hard"]
    """Splits to evaluate."""
    num_problems: int = Field(200, ge=1)
    """Problems per split."""
    num_samples: int = Field(4, ge=0)
    """k samples per problem at `temperature`, beside the greedy one. 0: greedy only."""
    temperature: float = Field(1.0, gt=0)
    """Of the k samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Of the k samples: drawn among the likeliest tokens that have this much probability together. There is no
    such key for training, which needs the whole distribution."""
    max_new_tokens: dict[SplitName, Annotated[int, Field(ge=1)]] = {}
    """Length limit per split; `rollout.max_new_tokens` where not given."""
    problems_per_batch: int = Field(64, ge=1)
    """Problems an engine evaluates in one batch."""


class Config(Section):
    """A whole run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    """Name of the run, shown in its report."""
    output_dir: str | None = None
    """Folder of the run. None: `runs/<name>`."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Run seed: initial weights, order of problems, sampling."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Of the learner. `auto`: a GPU where there is one."""
    threads: int = Field(2, ge=1)
    """CPU threads of the learner."""
    report_to: list[str] = ["tensorboard"]
    """Metric backends, as in transformers."""
    env: EnvConfig
    policy: PolicyConfig = PolicyConfig()
    warm_start: WarmStartConfig | None = WarmStartConfig()
    """None: start GRPO from the model as it is."""
    rollout: RolloutConfig = RolloutConfig()
    rewards: RewardsConfig
    grpo: GrpoConfig | None = GrpoConfig()
    """None: stop after the warm start."""
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _sizes_agree(self) -> Config:
        longest = self.rollout.max_prompt_tokens + max(
            [self.rollout.max_new_tokens, *self.eval.max_new_tokens.values()]
        )
        if self.policy.model == "tiny" and longest > self.policy.tiny.max_positions:
            raise ValueError(
                f"rollout.max_prompt_tokens ({self.rollout.max_prompt_tokens}) plus the longest "
                f"max_new_tokens ({longest - self.rollout.max_prompt_tokens}) is {longest}, over "
                f"policy.tiny.max_positions ({self.policy.tiny.max_positions}); raise it or lower the others"
            )
        if self.rollout.max_staleness > 0 and self.rollout.backend != "ray":
            raise ValueError(
                f"rollout.max_staleness is {self.rollout.max_staleness}, but only actors sample ahead; set it "
                "to 0, or rollout.backend to ray"
            )
        if self.grpo is not None:
            passes = self.grpo.num_iterations
            for key, value in (("updates", self.grpo.updates), ("save_every", self.grpo.save_every)):
                if value is not None and value % passes:
                    raise ValueError(
                        f"grpo.{key} ({value}) must be a multiple of grpo.num_iterations ({passes}): a batch "
                        "of completions is trained on that many times, and a checkpoint cannot cut it in two"
                    )
            if self.policy.lora is not None and self.policy.lora.dropout > 0:
                raise ValueError(
                    f"policy.lora.dropout is {self.policy.lora.dropout}; GRPO needs 0, because with "
                    "dropout the learner's log-probabilities differ from the sampler's. Set it to 0, or set "
                    "grpo to null"
                )
        return self
