"""The section `prompt`: how a problem becomes the text that the model is given."""

from __future__ import annotations

from configs.schema.section import Section


class PromptConfig(Section):
    """How a problem becomes the prompt."""

    chat_template: bool = False
    """Wrap the prompt in the tokenizer's chat template, as a user message."""
    system_prompt: str | None = None
    """System message; needs `chat_template`."""
