"""The section `prompt`: how a problem becomes the text that the model is given."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from configs.schema.section import Section, SplitName

_OWN_KWARGS = ("conversation", "messages", "tokenize", "add_generation_prompt", "continue_final_message")


class ExampleConfig(Section):
    """A worked example for few-shot prompts."""

    question: str = Field(min_length=1)
    """The question."""
    answer: str = Field(min_length=1)
    """The whole completion, with its steps, in the form that the task reads."""


class ThinkingConfig(Section):
    """The marks that a model puts around its thoughts."""

    open: str = "<think>"
    """The mark that opens a thought."""
    close: str = "</think>"
    """The mark that closes it."""


class PromptConfig(Section):
    """How a problem becomes the prompt. `stride prompt CONFIG` shows it before a run."""

    chat_template: bool | None = None
    """Put the question into the tokenizer's chat template, as a user message. null: if the tokenizer has one.
    Base models often carry the template of their chat version; set false to complete plain text."""
    system_prompt: str | None = None
    """System message of the chat template."""
    template: dict[SplitName, str] = {}
    """Text of the question by split, or one text for all splits, with the slots `{question}`, `{budget}` (the
    number of steps asked for; its line is left out where there is none) and `{format}` (the task's request for
    the form of the answer). A split without one: the question and these requests in a chat; otherwise the
    task's own prompt, which ends in a cue for the answer."""
    few_shot: int = Field(0, ge=0, le=64)
    """Train problems with the task's own solutions that are shown before the question (few-shot prompting). In
    a chat template each is a turn of the user and one of the assistant."""
    examples: list[ExampleConfig] = []
    """Your own examples in place of `few_shot`, each with `question` and `answer`."""
    prefill: str = ""
    """Start of the assistant's answer, given with the prompt. It is not sampled or trained on, but read as part
    of the completion."""
    chat_template_kwargs: dict[str, Any] = {}
    """Variables that the chat template reads, for example `{enable_thinking: false}`."""
    thinking: ThinkingConfig | Literal["auto"] | None = "auto"
    """Marks of a thought, for example `{open: <think>, close: </think>}`. Steps and backtracks are counted in
    the thought and the answer is taken after it; a thought that is not closed has no answer. The warm start
    writes a thought around its traces, unless the prompt has closed it already. `auto`: these marks if the chat
    template is used and has both in it, as those of DeepSeek-R1, QwQ and Qwen3. null: no thoughts."""

    @field_validator("template", mode="before")
    @classmethod
    def _for_all_splits(cls, value: Any) -> Any:
        return dict.fromkeys(get_args(SplitName), value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source_of_examples(self) -> PromptConfig:
        if self.few_shot and self.examples:
            raise ValueError(
                f"few_shot is {self.few_shot}, but examples has {len(self.examples)} of its own; give only one"
            )
        return self

    @model_validator(mode="after")
    def _chat_settings_fit(self) -> PromptConfig:
        if self.chat_template is False:
            for key, is_set in (
                ("system_prompt", self.system_prompt is not None),
                ("chat_template_kwargs", bool(self.chat_template_kwargs)),
            ):
                if is_set:
                    raise ValueError(f"{key} needs the chat template; set chat_template to true, or remove it")
        if own := [name for name in self.chat_template_kwargs if name in _OWN_KWARGS]:
            raise ValueError(f"chat_template_kwargs has {own}, which are not the template's; remove them")
        return self
