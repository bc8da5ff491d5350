"""The schema that every config file is checked against.

In: plain data from YAML and the command line (`load.py`). Out: a frozen `Config`. Each section belongs to one
stage and lists its most used keys first. Nothing here imports the packages it configures: names of environments
and rewards are looked up, with their own messages, when a run is built. The help under each key is also the
config reference of the documentation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from configs.schema.credit import CreditConfig
from configs.schema.iterate import IterateConfig, check_loop
from configs.schema.key_steps import KeyStepsConfig
from configs.schema.loss import LossConfig
from configs.schema.prompt import PromptConfig
from configs.schema.reporting import HubConfig, SampleTableConfig, TrajectoryConfig
from configs.schema.search import ExpertIterationConfig, SearchConfig, check_expert_iteration
from configs.schema.section import Optim, Section, SplitName
from configs.schema.vllm import check_owned

DType = Literal["float32", "bfloat16"]


class EnvConfig(Section):
    """The task and its difficulty."""

    name: str
    """Registered environment, for example `addition`, `countdown` or `sudoku`; an unknown name lists all of
    them. `mixture` puts several together. Your own as `package.module:Class`, from a file beside this one."""
    settings: dict[str, Any] = {}
    """The environment's own settings, for example difficulty buckets per split, `max_merge` and the data
    `seed`."""


class TinyModelConfig(Section):
    """A small decoder from scratch, with a tokenizer made from the task's own text.

    A Llama; with `positions` `none` or `hybrid` a SmolLM3, which is a Llama whose layers may do without.
    """

    hidden_size: int = Field(128, ge=8)
    """Width of the residual stream."""
    num_layers: int = Field(4, ge=1)
    """Number of decoder layers."""
    num_heads: int = Field(4, ge=1)
    """Attention heads per layer; must divide `hidden_size`."""
    intermediate_size: int = Field(512, ge=8)
    """Hidden width of the MLP."""
    attention_bias: bool = False
    """Use biases in the attention projections, as GPT-2 does. With biases the model learns to look up tokens
    sooner."""
    initializer_range: float = Field(0.02, gt=0)
    """Standard deviation of the first weights. 0.02 is the library's, for wide models; at a width below some
    hundreds, 1 / sqrt(hidden_size) lets attention learn several times sooner."""
    max_positions: int = Field(1024, ge=16)
    """Context length: the longest prompt plus completion, in tokens."""
    positions: Literal["rotary", "none", "hybrid", "lines", "columns"] = "rotary"
    """How layers know the order of tokens, which decides how far a model reads beyond the lengths it has seen.
    `rotary`: rotary position embeddings in every layer (RoPE, arXiv 2104.09864). `none`: the causal mask alone
    (NoPE, arXiv 2305.19466). `hybrid`: rotary in every other layer, from the first on, and none between
    (RNoPE, arXiv 2501.18795). `lines`: rotary, and each line begins at the next multiple of `line_stride`, so
    that what is copied from the line above stands at the same distance however long the lines are (after
    arXiv 2405.20671); the embedded engine samples such a model, and nothing but Stride loads it. `columns`: the
    same for traces of column addition, whose lines read one column of the question each: the digits of the
    question, the lines and the digits of the answer stand at the multiple of their column. Prompts must begin
    with the question on a line of its own, and a warm start has no detours or searches; skipped traces leave
    their columns."""
    line_stride: int = Field(64, ge=2)
    """Positions between the starts of lines with `positions: lines`, more than the tokens of a line; between
    columns with `positions: columns`, at least twice as many."""
    line_window: int | None = Field(None, ge=2)
    """Lines that a token attends to, its own included, with `positions: lines`. What is further up must not be
    needed: the question is out of sight after this many lines, counted from its own. null: all."""
    rotary_window: int | None = Field(None, ge=1)
    """Tokens that rotary layers see, the current one included (sliding window). As long as the examples of the
    warm start, no distance is new to the model in longer texts. Needs `hybrid`: layers without positions see
    all tokens. null: all."""
    number_digits: int = Field(1, ge=1, le=3)
    """Numbers of up to this many digits are one token each; longer ones are tokenized digit by digit."""
    number_features: Literal["fourier"] | None = None
    """`fourier`: the embeddings of tokens that are numbers begin with the cosine and sine of the number at
    periods from 2 to 200, and of its logarithm; pretrained models have such features (arXiv 2406.03445), and a
    model from scratch calculates sooner with them. Needs a `hidden_size` of at least 36. null: random, as the
    other tokens."""
    join_signs: bool = False
    """Merge such a number and the sign right after it ("4,", "2)") into one token. This halves the tokens of a
    graph."""
    join_words: bool = False
    """Merge a word and the sign right after it ("left,", "north.") into one token. This halves the tokens of a
    list."""
    join_names: bool = False
    """Merge a name of letters and digits, such as "r1c2" for a cell of a Sudoku board, and the sign right after
    it into one token."""
    join_pairs: bool = False
    """Merge two such numbers with a comma between into one token where questions have such pairs: the edges of
    a graph ("1,3"). A model then looks an edge up in one place; the vocabulary has every pair, so it is for
    few numbers."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TinyModelConfig:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of 2 * num_heads ({2 * self.num_heads})"
            )
        return self

    @model_validator(mode="after")
    def _features_fit(self) -> TinyModelConfig:
        if self.number_features is not None and self.hidden_size < 36:
            raise ValueError(
                f"number_features needs 36 dimensions, but hidden_size is {self.hidden_size}; set hidden_size "
                "to 36 or more, or number_features to null"
            )
        return self

    @model_validator(mode="after")
    def _window_has_layers_beside_it(self) -> TinyModelConfig:
        if self.rotary_window is not None and self.positions != "hybrid":
            raise ValueError(
                f"rotary_window is {self.rotary_window}, but positions is {self.positions}; set positions to "
                "hybrid, or rotary_window to null"
            )
        if self.line_window is not None and self.positions != "lines":
            raise ValueError(
                f"line_window is {self.line_window}, but positions is {self.positions}; set positions to "
                "lines, or line_window to null"
            )
        return self

    @model_validator(mode="after")
    def _columns_have_digits(self) -> TinyModelConfig:
        for key, value, needed in (
            ("number_digits", self.number_digits, 1),
            ("join_signs", self.join_signs, False),
        ):
            if self.positions == "columns" and value != needed:
                raise ValueError(
                    f"{key} is {str(value).lower()}, but positions is columns, which needs a token for each "
                    f"digit; set {key} to {str(needed).lower()}, or positions to rotary"
                )
        return self


class LoraSettings(Section):
    """A low-rank adapter (LoRA, arXiv 2106.09685, by peft); the base weights stay frozen."""

    r: int = Field(16, ge=1)
    """Rank of the adapter."""
    alpha: int = Field(32, ge=1)
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input during the warm start. GRPO needs 0, because with dropout the learner's
    log-probabilities differ from the sampler's."""
    target_modules: list[str] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers that get an adapter."""


class PolicyConfig(Section):
    """The policy: the model that is trained."""

    model: str = "tiny"
    """`tiny` (made from scratch), a Hugging Face folder, a hub id, or `package:NAME` for weights inside an
    installed Python package."""
    tiny: TinyModelConfig = TinyModelConfig()
    """Size of the `tiny` model."""
    revision: str | None = None
    """Branch, tag or commit of `model` on the hub. null: its main branch."""
    lora: LoraSettings | None = None
    """Train a LoRA adapter instead of all weights. If `model` is itself an adapter with this `r` and `alpha`,
    that one is trained further."""
    merge_adapter: bool = False
    """If `model` is a LoRA adapter, merge it into its base model and train all weights."""
    gguf_file: str | None = None
    """Name of the weights file in `model`, if the weights are in GGUF format."""
    dtype: DType | None = None
    """Precision of the weights. In `bfloat16` small updates are rounded away, unless `lora` is set: the adapter
    is always float32. null: float32; bfloat16 for the base that `lora` freezes, on a GPU with mixed
    precision."""
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    """`bf16`: the learner computes matrix products in bfloat16 (autocast); weights, gradients and the
    optimizer's state keep the precision of `dtype`, and log-probabilities and the loss are float32. `auto`:
    `bf16` on a GPU that has bfloat16, `no` on a CPU."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Keep only the input of each layer for the backward pass and compute the layer again there: about a third
    more time, a fraction of the memory. The gradient is the same. `auto`: on a GPU."""
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] | None = None
    """The learner's attention, as in transformers. `flash_attention_2` needs a GPU, bfloat16 and the package
    flash-attn. null: the library's choice for the model, usually `sdpa`."""
    load_in_4bit: bool = False
    """QLoRA (arXiv 2305.14314): keep the base that `lora` freezes in 4 bits (NF4, double quantization). The
    engine samples from the same weights in full. Needs a GPU and the extra `bitsandbytes`."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model."""

    @model_validator(mode="after")
    def _four_bits_fit(self) -> PolicyConfig:
        if not self.load_in_4bit:
            return self
        if self.lora is None:
            raise ValueError(
                "load_in_4bit is true, but lora is null, and weights in 4 bits are not trained; set lora.r, "
                "for example to 16"
            )
        if self.model == "tiny":
            raise ValueError("load_in_4bit is true, but model is tiny, which has no file; set it to false")
        for key in ("merge_adapter", "gguf_file"):
            if value := getattr(self, key):
                raise ValueError(f"load_in_4bit is true, but {key} is {value!r}; leave one of them out")
        return self


class CurriculumPhase(Section):
    """A phase of the warm start's curriculum: easier problems that are learnt first."""

    settings: dict[str, Any]
    """Settings of the environment that differ in this phase."""
    updates: int = Field(ge=1)
    """Optimiser updates of this phase, out of the warm start's."""


class WarmStartConfig(Section):
    """Warm start: supervised fine-tuning (SFT) on demonstrations before GRPO."""

    updates: int = Field(1000, ge=1)
    """Optimiser updates."""
    curriculum: list[CurriculumPhase] = []
    """Phases at the start, in order; the remaining updates use the problems of `env`. If none remain, GRPO
    meets problems that no demonstration has shown."""
    num_problems: int = Field(4000, ge=1)
    """Training problems that demonstrations are made from, per phase; repeated once used up."""
    batch_size: int = Field(64, ge=1)
    """Demonstrations per update."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Demonstrations per forward pass, at most (gradient accumulation). null: as many as fit, on a GPU up to
    16,384 tokens; the run says how many tokens that is. Passes hold demonstrations of like length."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate, reached after `warmup_frac`, then decayed to 0 along a cosine."""
    warmup_frac: float = Field(0.05, ge=0, le=1)
    """Share of the updates with linear learning rate warm-up."""
    optim: Optim = "adamw_torch_fused"
    """Optimizer, by its name in transformers. AdamW keeps 8 bytes of state a trained weight; the 8-bit ones of
    bitsandbytes keep 2, and `paged_` ones move it to host memory when the GPU is full (extra `bitsandbytes`).
    `adafactor` keeps almost none. `muon` is Muon (4 bytes; arXiv 2502.16982) for hidden matrices and AdamW for
    embeddings, the output layer, norms and biases, at the same learning rate and decay."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW and Muon (arXiv 1711.05101); not of biases and norms."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's decay of the mean gradient."""
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's decay of the mean squared gradient."""
    skipped_frac: float = Field(0.5, ge=0, le=1)
    """Share of skipped traces among the demonstrations (step skipping, arXiv 2411.01855). 0 is the cold start:
    full traces only."""
    skip_kinds: list[str] = []
    """The environment's skip rules to use, drawn uniformly. Empty: its first rule."""
    detour_frac: float = Field(0.0, ge=0, le=1)
    """Share of demonstrations with detours, wrong turns that a backtrack takes back (arXiv 2505.24273)."""
    num_detours: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [1]
    """How many detours such a demonstration has, drawn uniformly from this list."""
    error_mix: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Kinds of wrong turns with their weights in the draw. Empty: all kinds of the environment, uniformly."""
    stop_at_backtrack: bool = False
    """End such a demonstration at its first wrong line and a bare `<backtrack>`, as the data of
    Self-Backtracking does (arXiv 2502.04404): the model learns to stop where a line is wrong, and
    `stride search` goes back for it. false: the demonstration goes back and finishes."""
    mask_wrong_steps: bool = True
    """Take the wrong step of a detour out of the loss: the model reads it but does not imitate it."""
    detour_control: bool = False
    """Length-matched control: replace each demonstration with detours by one of the same length without
    backtracks, which separates the effect of backtracks from that of length."""
    search_frac: float = Field(0.0, ge=0, le=1)
    """Share of demonstrations of a systematic search with the backtracks it needs (Stream of Search, arXiv
    2404.03683)."""
    budget_frac: float = Field(0.0, ge=0, le=1)
    """Share of prompts that state the number of steps of their trace as a budget."""
    position_range: int | None = Field(None, ge=1)
    """Randomised positions (Ruoss et al., arXiv 2305.16843): the tokens of an example stand at positions drawn
    below a limit, in order, and the limit is drawn log-uniformly between its length and this. So the model
    meets the distances of texts up to this long. GRPO and evaluation use ordinary positions. Not for line
    positions, which have `position_jumps`. null: the warm start has ordinary positions too."""
    position_jumps: int | None = Field(None, ge=1)
    """In most examples the positions jump by 1 to this many at one place of a list, the same in all lines, and
    by 1 to this many lines between two lines; what is copied across a jump gets no loss. So the model meets the
    distances of longer lists and texts while those by which it copies stay. With
    `policy.tiny.positions: columns` they jump by 1 to this many columns between columns, and carries, which are
    copied across, keep their loss. Needs one of these two kinds of positions. null: never."""
    number_lines_to: int | None = Field(None, ge=1)
    """Where the lines of a trace are numbered ("1. ..."), most demonstrations count from a random first number
    instead, which gets no loss, up to this number at most (index hints with random starts, arXiv 2310.16028).
    So the model counts on from the line above and meets the numbers of longer traces. null: from 1."""
    thought_dropout: float = Field(0.0, ge=0, le=1)
    """Probability that a demonstration is its closing line alone, after an empty thought where the prompt has
    marks for thoughts (TON, arXiv 2505.16854). GRPO then decides when to think. A budget in its prompt is 0
    steps."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints. null: they follow from `save_minutes` alone."""
    save_minutes: float | None = Field(10.0, gt=0)
    """Minutes after which a checkpoint is due, beside those of `save_every`; it is written at the end of the
    update. The last update is always saved, and at SIGTERM and SIGINT the last whole one. null: `save_every`
    alone decides."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of newest checkpoints that stay on disk. With 1 there is none to fall back to if it is damaged."""

    @model_validator(mode="after")
    def _shares_fit(self) -> WarmStartConfig:
        shares = {"skipped": self.skipped_frac, "detour": self.detour_frac, "search": self.search_frac}
        if sum(shares.values()) > 1 + 1e-9:
            named = " + ".join(f"{key}_frac ({share:g})" for key, share in shares.items())
            raise ValueError(f"{named} is over 1; the rest of the mix is full traces")
        if self.stop_at_backtrack and self.detour_control:
            raise ValueError(
                "stop_at_backtrack and detour_control are both true, but a control never goes back; set one of "
                "them to false"
            )
        if self.error_mix and not sum(self.error_mix.values()) > 0:
            raise ValueError(
                "error_mix has no kind with a weight above 0; leave it empty to draw all uniformly"
            )
        return self

    @model_validator(mode="after")
    def _one_change_of_positions(self) -> WarmStartConfig:
        if self.position_range is not None and self.position_jumps is not None:
            raise ValueError(
                f"position_range is {self.position_range} and position_jumps is {self.position_jumps}; set one "
                "of them to null"
            )
        return self

    @model_validator(mode="after")
    def _numbers_are_not_named(self) -> WarmStartConfig:
        for key, value in (("detour_frac", self.detour_frac), ("search_frac", self.search_frac)):
            if self.number_lines_to is not None and value:
                raise ValueError(
                    f"number_lines_to is {self.number_lines_to} and {key} is {value:g}, but backtracks name "
                    f"lines by their number; set {key} to 0, or number_lines_to to null"
                )
        return self

    @model_validator(mode="after")
    def _curriculum_fits(self) -> WarmStartConfig:
        if (taken := sum(stage.updates for stage in self.curriculum)) > self.updates:
            raise ValueError(f"updates is {self.updates}, but the curriculum takes {taken}; raise it to that")
        return self


class RolloutConfig(Section):
    """How completions (rollouts) are sampled."""

    backend: Literal["local", "ray"] = "local"
    """`local`: sample in this process, for debugging. `ray`: sample on Ray actors."""
    engine: Literal["torch", "vllm"] = "torch"
    """Inference engine. `torch`: the embedded one. `vllm`: vLLM, which is installed separately."""
    samples_per_problem: int = Field(8, ge=2)
    """Group size G: samples per problem. GRPO compares the samples of a group, so at least 2."""
    max_prompt_tokens: int = Field(256, ge=1)
    """Longest prompt in tokens, chat template included."""
    long_prompts: Literal["skip", "error"] = "skip"
    """What happens to a problem whose prompt is longer. `skip`: it is left out, in GRPO and in evaluation, and
    counted; real data usually has a few, and cutting prompts off would change the problem. `error`: the run is
    refused before it starts, or ends where a generated task draws such a problem. A split of which no prompt
    fits is always refused. The warm start reads prompts of any length within the model's context."""
    max_new_tokens: int = Field(256, ge=1)
    """Length limit of a completion in tokens."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature; the log-probabilities used for training include it."""
    problems_per_batch: int = Field(8, ge=1)
    """Groups that an engine samples in one batch. It affects the last bits of log-probabilities, so it does not
    depend on the number of actors."""
    max_rows: int | None = Field(None, ge=1)
    """Completions that an engine decodes at the same time, at least one group; others wait for a free row. It
    affects the last bits of log-probabilities. null: the whole batch; on a GPU, at most that of training in
    evaluation too."""
    kv_cache_gib: float | None = Field(None, gt=0)
    """Memory of an engine's KV cache in GiB (2^30 bytes). A batch that could need more starts all the same;
    when the cache is full, the completions with the fewest tokens are preempted: they wait for memory, and
    what they have is read again. null: what a rollout batch can need, in evaluation as far as the learner
    leaves memory for it."""
    max_staleness: int = Field(0, ge=0)
    """Rollout batches that actors sample ahead while the learner works; needs `backend: ray`. Completions are
    then up to this many batches off-policy, which the importance ratio in the loss corrects. 0: strictly
    on-policy. A checkpoint holds the weights that these batches are sampled with too, one copy for each."""
    num_actors: int = Field(2, ge=1)
    """Ray actors."""
    cpus_per_actor: float = Field(1, ge=0)
    """CPU cores that Ray reserves per actor."""
    gpus_per_actor: float = Field(0, ge=0)
    """GPUs per actor, fractions allowed. 0: the actor samples on the CPU. With several GPUs in one machine, the
    actors leave the first to the learner if they fit on the others."""
    actor_device: Literal["auto", "cpu"] = "auto"
    """`cpu`: the actors sample on the CPU on purpose, beside a learner on a GPU. `auto`: they use the GPUs of
    `gpus_per_actor`; with 0 of them, a run with `device: cuda` is refused."""
    threads: int = Field(1, ge=1)
    """CPU threads of one engine, in this process or in an actor."""
    dtype: DType | None = None
    """Precision of the engine's copy of the weights. null: bfloat16 where the learner computes in it
    (`policy.dtype`, `policy.mixed_precision`), else float32."""
    cuda_graphs: bool = True
    """On a GPU, capture the decode steps of the embedded engine as CUDA graphs and replay them."""
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    """Share of the GPU's memory that vLLM takes, weights included; what is left of it is KV cache. On a CPU: of
    the machine's memory. null: a KV cache of `kv_cache_gib`. With less than all rows need, vLLM preempts rows
    and computes their keys and values again later."""
    enable_sleep_mode: bool | Literal["auto"] = "auto"
    """Let vLLM give its memory back while the learner works (vLLM's sleep mode). `auto`: where they share a GPU
    and nothing is sampled ahead."""
    vllm_args: dict[str, Any] = {}
    """Further engine arguments of vLLM by its own names, for example `tensor_parallel_size`, `quantization`,
    `kv_cache_dtype`, `max_num_batched_tokens` or `enforce_eager`. Those that Stride sets itself are refused."""
    deadline_s: float = Field(600, gt=0)
    """Seconds after which an actor that has not returned a batch is replaced and the batch sampled again."""
    start_deadline_s: float = Field(600, gt=0)
    """Seconds until Ray must have placed an actor, and again until it must have loaded its model. While there
    is no room for an actor the others work, and it is tried again; a run without any actor ends with exit
    code 75 (try again later)."""
    max_restarts: int | None = Field(None, ge=0)
    """Actors that may be replaced within `restart_window_s`; one more ends the run. null: four times
    `num_actors`."""
    restart_window_s: float = Field(3600, gt=0)
    """Seconds within which `max_restarts` counts."""
    max_ungraded: int = Field(32, ge=0)
    """Completions that may be left out because a grader or a reward failed on them, before the run stops."""

    @field_validator("vllm_args")
    @classmethod
    def _arguments_are_free(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        check_owned(arguments)
        return arguments

    @model_validator(mode="after")
    def _vllm_keys(self) -> RolloutConfig:
        given = {
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "enable_sleep_mode": self.enable_sleep_mode is True,
            "vllm_args": self.vllm_args,
        }
        if self.engine != "vllm" and (keys := [key for key, value in given.items() if value]):
            raise ValueError(f"{keys[0]} is for vLLM, but engine is {self.engine}; set engine to vllm")
        if self.gpu_memory_utilization is not None and self.kv_cache_gib is not None:
            raise ValueError("gpu_memory_utilization and kv_cache_gib both size the KV cache; set one of them")
        if self.enable_sleep_mode is True and self.max_staleness > 0:
            raise ValueError(
                f"enable_sleep_mode is true, but with max_staleness {self.max_staleness} the actors sample "
                "while the learner works; set one of them to false or 0"
            )
        return self


Share = Annotated[float, Field(ge=0, le=1)]


class WhenConfig(Section):
    """Conditions on a group under which a reward term counts at all."""

    group_accuracy: tuple[Share, Share] = (0.0, 1.0)
    """Lowest and highest share of right samples in the group."""
    running_accuracy: tuple[Share, Share] = (0.0, 1.0)
    """Lowest and highest share of right samples over the last 16 rollout batches."""
    off_best: Share | None = None
    """How far the running accuracy may be below its best so far. Allow for noise: some hundredths more with
    small batches."""

    @model_validator(mode="after")
    def _in_order(self) -> WhenConfig:
        for key in ("group_accuracy", "running_accuracy"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key} is [{low:g}, {high:g}]; give the smaller one first")
        return self


class RewardTermConfig(Section):
    """One term of the reward.

    An entry `preset: NAME` stands for the terms of `configs/rewards/NAME.yaml`, or of the file at a path; a
    term given by name replaces the preset's.
    """

    name: str
    """Registered reward, or your own as `package.module:function`."""
    weight: float
    """Multiplies the reward's value; the logged value includes it."""
    gate: Literal["none", "correct", "verified"] = "none"
    """Count this term only if the answer is right (`correct`), or right with every step valid (`verified`,
    where the task checks steps)."""
    when: WhenConfig = WhenConfig()
    """Count this term only in some groups."""
    schedule: dict[Annotated[int, Field(ge=0)], float] = {}
    """Factors of the weight by update, linear in between: `{0: 0, 50: 1}` brings it in over 50 updates."""
    args: dict[str, Any] = {}
    """Arguments of the reward function."""


class AdvantageWeightConfig(Section):
    """Difficulty-aware weight of advantages (GRPO-LEAD, arXiv 2504.09696).

    The weight is low + (high - low) / (1 + exp(slope * (accuracy - midpoint))), accuracy being the group's.
    """

    low: float = Field(0.4, ge=0)
    """Weight as the group's accuracy approaches 1."""
    high: float = Field(1.5, ge=0)
    """Weight as it approaches 0."""
    midpoint: float = Field(0.75, ge=0, le=1)
    """Accuracy at which the weight is half-way."""
    slope: float = Field(10.0, gt=0)
    """Steepness of the sigmoid at the midpoint."""


class DecoupledConfig(Section):
    """Decoupled advantages (DRPO, arXiv 2510.04474)."""

    temperature: float = Field(gt=0)
    """lambda: a right sample counts in proportion to exp(reward / temperature) among the right ones of its
    group. The larger, the less a difference in reward, such as that of a length term, matters."""


class RewardsConfig(Section):
    """The reward: a weighted sum of terms."""

    terms: list[RewardTermConfig] = Field(min_length=1)
    """Terms; their weighted values add up to the reward."""
    allow_wrong_above_right: bool = False
    """Accept weights with which a wrong answer can earn more than a right one."""
    advantage_weight: AdvantageWeightConfig | None = None
    """Multiply positive advantages by the weight at the group's accuracy, negative ones by the weight at its
    share of wrong answers. null: leave advantages as they are."""
    decoupled: DecoupledConfig | None = None
    """Compare right answers with wrong ones alone, and let the rewards only divide the advantage of the right
    ones among them: a long right answer gains less, but is never taught as wrong. Groups that are right
    throughout, or wrong throughout, then have no signal. null: advantages are those of the total rewards."""
    timeout_s: float = Field(10.0, gt=0)
    """Seconds that a reward function of your own may take per sample, or per group if it takes groups."""
    memory_gib: float = Field(8.0, gt=0)
    """Memory in GiB that the process of a reward function of your own may hold, together with the processes it
    has started; each actor has one. Pages of files and a GPU's memory do not count. Beyond it the process is
    ended, and the sample (or the group) stays unscored."""


class UpdatesConfig(Section):
    """The updates of GRPO: how many, on what, how far."""

    updates: int = Field(100, ge=1)
    """Optimiser updates."""
    problems_per_update: int = Field(16, ge=1)
    """P, groups per update. An update trains on P * `rollout.samples_per_problem` completions."""
    learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate, reached after `warmup_updates` and then changed by `lr_schedule`."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate schedule after `warmup_updates`."""
    warmup_updates: int = Field(0, ge=0)
    """Updates over which the learning rate rises linearly from 0."""
    optim: Optim = "adamw_torch_fused"
    """Optimizer, by its name in transformers; see `warm_start.optim`."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of AdamW and Muon (arXiv 1711.05101); not of biases and norms."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's decay of the mean gradient."""
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's decay of the mean squared gradient."""
    micro_batch_tokens: int | None = Field(None, ge=1)
    """Tokens per forward pass, padding included (gradient accumulation). Changes memory and speed, not the
    update. Completions are sorted by length and split where that pads least; one over the limit gets a pass
    of its own. null: as many as fit, up to 16,384, on a GPU, and the run says how many; 768 on a CPU, where
    larger passes take memory and save no time."""
    dynamic_sampling: bool = True
    """Replace zero-variance groups, whose rewards are all equal and give no gradient, by further problems until
    P groups have a signal (DAPO, arXiv 2503.14476, section 3.2). false: train on those of the first P that
    have one."""
    max_resamples: int = Field(3, ge=0)
    """With `dynamic_sampling`, how often up to P further problems are sampled in one update."""
    num_iterations: int = Field(1, ge=1)
    """Optimiser updates per rollout batch (mu in GRPO). Above 1, the later ones are off-policy."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Maximum gradient norm (gradient clipping)."""
    budget_frac: float = Field(0.0, ge=0, le=1)
    """Share of prompts that state a step budget, drawn between half and all of the full trace's steps."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints. null: they follow from `save_minutes` alone."""
    save_minutes: float | None = Field(10.0, gt=0)
    """Minutes after which a checkpoint is due, beside those of `save_every`; it is written at the end of the
    update. The last update is always saved, and at SIGTERM and SIGINT the last whole one. null: `save_every`
    alone decides."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of newest checkpoints that stay on disk. With 1 there is none to fall back to if it is damaged."""
    max_logprob_diff: Annotated[float, Field(gt=0)] | Literal["auto"] | None = "auto"
    """Stop if, with the same weights, sampler and learner disagree on a token's log-probability by more than
    this. `auto`: 0.01 where both compute in float32; in bfloat16, where rounding alone moves an unlikely token
    by some tenths, a warning over 1.0. null: never."""


class GrpoConfig(LossConfig, UpdatesConfig):
    """Group relative policy optimisation (GRPO, arXiv 2402.03300); TRL's loss."""

    credit: CreditConfig = CreditConfig()


class EvalConfig(Section):
    """Evaluation before, between and after the stages."""

    splits: list[SplitName] = ["id", "ood_easy", "ood_hard"]
    """Splits to evaluate on."""
    num_problems: int = Field(200, ge=1)
    """Problems per split."""
    greedy: bool = True
    """Decode greedily, one completion a problem, and take the headline figures from it. false: sample only, and
    take them from all samples; for models that repeat themselves under greedy decoding, as the cards of many
    reasoning models warn."""
    num_samples: int = Field(4, ge=0)
    """Samples per problem at `temperature`, for mean@k and pass@k (arXiv 2107.03374). 0: greedy only."""
    temperature: float = Field(1.0, gt=0)
    """Sampling temperature of these samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling for these samples (arXiv 1904.09751): draw from the likeliest tokens with this total
    probability. Training has no such key, as its loss needs the whole distribution."""
    top_k: int | None = Field(None, ge=1)
    """Draw these samples from this many likeliest tokens only (arXiv 1805.04833), before `top_p`. null: from
    all."""
    search: bool = False
    """Also solve the problems by search, as the section `search` says, in `stride evaluate` and after each
    stage that `stride train` trains: beside greedy decoding and, at equal tokens, best-of-N, a majority vote
    and the task's own search. The report has the figures; completions, CSV and a page of its own are in
    `eval/<stage>-search`. For the model that a run begins with, which many runs may share, use `stride
    search`."""
    max_new_tokens: dict[SplitName, Annotated[int, Field(ge=1)]] = {}
    """Length limit of a completion by split; `rollout.max_new_tokens` where not given."""
    every: int | None = Field(None, ge=1)
    """Updates of GRPO between evaluations on `every_problems` problems, which are logged as `eval_<split>/...`.
    They change nothing in the training. null: none."""
    every_problems: int = Field(64, ge=1)
    """Problems per split of these evaluations, the first ones of `num_problems`."""
    every_splits: list[SplitName] = []
    """Splits of these evaluations, out of `splits`. []: the first one."""
    best: Literal["accuracy", "verified", "steps"] | None = "accuracy"
    """Keep the model of the best of these evaluations in `models/best`: the one with the highest `accuracy`,
    with the most answers that are right with every step valid (`verified`, where the task checks steps), or
    with the fewest `steps` per correct answer at an accuracy within one standard error of the highest. The
    first of the splits decides; a tie goes to fewer steps, with `steps` to the higher accuracy. null: keep
    none."""
    patience: int | None = Field(None, ge=1)
    """Early stopping: end GRPO after this many of these evaluations in a row without a new best. null:
    never."""
    length_limits: list[Annotated[int, Field(ge=1)]] | None = None
    """Lower length limits in tokens, under which the same completions are judged too, for the curve of accuracy
    against allowed length: a longer completion is cut off there and counts as wrong. Nothing is sampled
    again. null: the limit halved up to four times. []: no curve."""
    problems_per_batch: int = Field(64, ge=1)
    """Problems that an engine evaluates in one batch."""
    keep_samples: bool = True
    """Keep the samples in `eval/<stage>-sampled.jsonl`, as text without the figures of each token. Greedy
    completions are always kept."""

    @model_validator(mode="after")
    def _something_to_judge(self) -> EvalConfig:
        if not self.greedy and not self.num_samples:
            raise ValueError(
                "greedy is false and num_samples is 0, so nothing would be evaluated; set num_samples to 1 or "
                "more"
            )
        return self

    @model_validator(mode="after")
    def _early_stopping_fits(self) -> EvalConfig:
        if self.patience is not None and (self.every is None or self.best is None):
            key, given = ("every", "how often to evaluate") if self.every is None else ("best", "a metric")
            raise ValueError(f"patience is {self.patience}, but {key} is null; set it to {given}")
        if others := [split for split in self.every_splits if split not in self.splits]:
            raise ValueError(f"every_splits has {others[0]}, which splits ({', '.join(self.splits)}) has not")
        if self.every is not None and not self.splits:
            raise ValueError(f"every is {self.every}, but splits is empty; name a split to evaluate on")
        return self


class Config(Section):
    """A whole run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    """Name of the run, shown in its report."""
    output_dir: str | None = None
    """Folder of the run. null: `runs/<name>`."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Run seed: initial weights, order of problems, sampling."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the learner. `auto`: a GPU if there is one."""
    tf32: bool = False
    """On a GPU, float32 matrix products of learner and engines keep 10 bits of the mantissa (TF32), which is
    faster. Products in bfloat16 are not affected."""
    threads: int = Field(2, ge=1)
    """CPU threads of the learner."""
    report_to: list[str] = ["tensorboard"]
    """Where metrics are logged, as in transformers: `tensorboard`, `wandb`, ..., or `none`."""
    trajectories: TrajectoryConfig = TrajectoryConfig()
    sample_tables: SampleTableConfig = SampleTableConfig()
    push_to_hub: HubConfig | None = None
    """Upload the trained models to the hub. null: never."""
    modules_dir: str | None = None
    """Folder of modules of your own that `env.name` and `rewards.terms` name; a relative path starts in this
    file's folder. null: the folder of this file. The current folder and PYTHONPATH are searched too."""
    env: EnvConfig
    policy: PolicyConfig = PolicyConfig()
    prompt: PromptConfig = PromptConfig()
    warm_start: WarmStartConfig | None = WarmStartConfig()
    """The warm start. null: start GRPO from the model as it is."""
    key_steps: KeyStepsConfig | None = None
    """Key steps (EDIT): training on pairs of right and wrong traces. null: no such stage."""
    rollout: RolloutConfig = RolloutConfig()
    rewards: RewardsConfig
    grpo: GrpoConfig | None = GrpoConfig()
    """GRPO. null: stop after the stage before it."""
    eval: EvalConfig = EvalConfig()
    search: SearchConfig = SearchConfig()
    iterate: IterateConfig | None = None
    """The step-skipping loop, in place of warm start and GRPO: `stride iterate` runs it. null: `stride train`
    runs the config."""
    expert_iteration: ExpertIterationConfig | None = None
    """Expert iteration over search, in place of GRPO: `stride iterate` runs it. null: none."""

    @model_validator(mode="after")
    def _loop_fits(self) -> Config:
        check_loop(self)
        check_expert_iteration(self)
        return self

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
        allowed = [self.eval.max_new_tokens.get(s, self.rollout.max_new_tokens) for s in self.eval.splits]
        lowest = min(allowed, default=self.rollout.max_new_tokens)
        if over := [limit for limit in self.eval.length_limits or () if limit > lowest]:
            raise ValueError(
                f"eval.length_limits has {over[0]}, but completions are sampled up to {lowest} tokens; lower "
                "it, or raise eval.max_new_tokens or rollout.max_new_tokens"
            )
        best_kept = self.grpo is not None and self.eval.every is not None and self.eval.best is not None
        if self.push_to_hub is not None and self.push_to_hub.model == "best" and not best_kept:
            raise ValueError(
                "push_to_hub.model is best, but no best model is kept; set eval.every and eval.best, or "
                "push_to_hub.model to last"
            )
        if self.rollout.actor_device == "cpu" and self.rollout.gpus_per_actor > 0:
            raise ValueError(
                f"rollout.actor_device is cpu, but rollout.gpus_per_actor is {self.rollout.gpus_per_actor:g}; "
                "set it to 0, or rollout.actor_device to auto"
            )
        if self.rollout.max_staleness > 0 and self.rollout.backend != "ray":
            raise ValueError(
                f"rollout.max_staleness is {self.rollout.max_staleness}, but only actors sample ahead; set it "
                "to 0, or rollout.backend to ray"
            )
        if self.grpo is not None:
            if self.grpo.credit.by_step and self.rewards.decoupled is not None:
                raise ValueError(
                    f"grpo.credit is {self.grpo.credit.name}, but rewards.decoupled gives all tokens of a "
                    "completion one weight; set grpo.credit to sequence, or rewards.decoupled to null"
                )
            if self.grpo.updates % self.grpo.num_iterations:
                raise ValueError(
                    f"grpo.updates ({self.grpo.updates}) must be a multiple of grpo.num_iterations "
                    f"({self.grpo.num_iterations}): a batch of completions is trained on that many times"
                )
            if self.policy.lora is not None and self.policy.lora.dropout > 0:
                raise ValueError(
                    f"policy.lora.dropout is {self.policy.lora.dropout}; GRPO needs 0, because with "
                    "dropout the learner's log-probabilities differ from the sampler's. Set it to 0, or set "
                    "grpo to null"
                )
        return self
