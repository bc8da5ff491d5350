"""The chat template of a tokenizer: messages to text, and the token that ends the assistant's turn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rollout.prompt_format import Message, Piece

_MARK = re.compile("DATA[0-9]+GOESHERE")
_TURN = [Message("user", (Piece("1", is_data=True),)), Message("assistant", (Piece("2", is_data=True),))]


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A tokenizer's chat template with the variables it is given.

    Attributes:
        tokenizer: The tokenizer.
        variables: What the template reads besides the messages, such as `enable_thinking`.
    """

    tokenizer: PreTrainedTokenizerBase
    variables: Mapping[str, Any]

    def render(self, messages: Sequence[Message], *, ask: bool = True) -> str:
        """The text of a chat, up to where the assistant's next turn begins.

        Args:
            messages: The messages.
            ask: Open the assistant's next turn. False ends after the last message.

        Raises:
            ValueError: The template refuses the messages.
        """
        plain = [{"role": role, "content": "".join([p.text for p in pieces])} for role, pieces in messages]
        try:
            text = self.tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=ask, **self.variables
            )
        except TemplateError as error:
            raise ValueError(f"the chat template refuses the messages of a prompt: {error}") from None
        assert isinstance(text, str)
        return text

    def pieces(self, messages: Sequence[Message], *, ask: bool = True) -> list[Piece]:
        """The same text with data kept apart, found by rendering marks in place of the data."""
        data: list[Piece] = []

        def marked(piece: Piece) -> Piece:
            if not piece.is_data:
                return piece
            data.append(piece)
            return Piece(f"DATA{len(data) - 1}GOESHERE")

        text = self.render([Message(role, tuple(map(marked, pieces))) for role, pieces in messages], ask=ask)
        found, start = [], 0
        for match in _MARK.finditer(text):
            found += [Piece(text[start : match.start()]), data[int(match[0][4:-8])]]
            start = match.end()
        return [*found, Piece(text[start:])]

    def check(self, system_prompt: str | None, *, has_shots: bool) -> None:
        """Refuse a template that does not show a question once, or does not read what it is given.

        Raises:
            ValueError: Says which.
        """
        shown = sum(piece.is_data for piece in self.pieces(_TURN[:1]))
        if shown != 1:
            raise ValueError(f"the chat template shows the user message {shown} times, not once")
        system = [] if system_prompt is None else [Message("system", (Piece(system_prompt),))]
        self.render([*system, *(_TURN if has_shots else []), _TURN[0]])
        source = str(self.tokenizer.chat_template)
        for name in self.variables:
            if not re.search(rf"\b{re.escape(name)}\b", source):
                raise ValueError(
                    f"prompt.chat_template_kwargs has '{name}', which the chat template does not read; correct "
                    "the name or leave it out"
                )

    def turn_end(self) -> int | None:
        """The token that follows the content of an assistant's turn; None if the template ends turns in words.

        Example: `<|im_end|>` in ChatML, where the tokenizer's own end-of-text token may be another one.
        """
        try:
            *_, last, after = self.pieces(_TURN, ask=False)
        except ValueError:
            return None  # a template for single questions
        ids = self.tokenizer.encode(after.text.lstrip(), add_special_tokens=False)
        known = last.is_data and bool(ids) and ids[0] in self.tokenizer.added_tokens_decoder
        return ids[0] if known else None
