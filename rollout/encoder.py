"""Text to token ids and back, in one place.

The text of a problem is data: control tokens spelled out in it stay ordinary text. The control tokens of the
chat template are added around it as ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

_PLACEHOLDER = "QUESTIONGOESHERE"


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A tokenizer with its prompt format.

    Attributes:
        tokenizer: The policy's.
        prefix_ids: Ids before the problem text, the start of the chat template; empty without one.
        suffix_ids: Ids after it.
        stop_ids: Tokens that end a completion; the warm start teaches the first one.
        pad_id: Token that pads rows; always masked.
    """

    tokenizer: PreTrainedTokenizerBase
    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    pad_id: int
    _pieces: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of plain text; control tokens in it are encoded as ordinary characters."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token of `encode(text)`, in characters."""
        encoding = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return [(start, end) for start, end in encoding["offset_mapping"]]

    def encode_prompt(self, prompt: str) -> tuple[int, ...]:
        """Ids of a problem's prompt, inside the chat template if there is one."""
        return (*self.prefix_ids, *self.encode(prompt), *self.suffix_ids)

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Ids of a reference completion and the stop token."""
        return (*self.encode(text), self.stop_ids[0])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Text of each token by itself; part of a character shows as the replacement character."""
        for token in {*ids} - self._pieces.keys():
            piece = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
            assert isinstance(piece, str)
            self._pieces[token] = piece
        return [self._pieces[token] for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a completion without its final stop token; other control tokens are shown."""
        if ids and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        text = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text


def make_encoder(
    tokenizer: PreTrainedTokenizerBase,
    *,
    chat_template: bool = False,
    system_prompt: str | None = None,
    extra_stop_ids: Sequence[int] = (),
) -> Encoder:
    """Find the prompt format, stop tokens and padding of a tokenizer.

    A tokenizer without a padding token is padded with its end-of-text token. Rows carry an explicit mask, so
    padding is never read or learned.

    Args:
        tokenizer: Any fast tokenizer.
        chat_template: Put prompts into the template as a user message.
        system_prompt: System message, with `chat_template`.
        extra_stop_ids: Further end tokens that the model declares.

    Raises:
        ValueError: There is no end-of-text token, or the tokenizer has no chat template although one is asked
            for.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end-of-text (eos) token, so no completion would ever end; set "
            "`eos_token` in its tokenizer_config.json"
        )
    stop_ids = tuple(dict.fromkeys([tokenizer.eos_token_id, *extra_stop_ids]))
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    if chat_template:
        prefix, suffix = _template_parts(tokenizer, system_prompt)
    return Encoder(tokenizer=tokenizer, prefix_ids=prefix, suffix_ids=suffix, stop_ids=stop_ids, pad_id=pad_id)


def _template_parts(
    tokenizer: PreTrainedTokenizerBase, system_prompt: str | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not tokenizer.chat_template:
        raise ValueError(
            "prompt.chat_template is true, but the tokenizer has no chat template; set it to false, or add "
            "`chat_template` to the tokenizer, for example one that renders 'user: {question}\\nassistant: '"
        )
    messages = [{"role": "user", "content": _PLACEHOLDER}]
    if system_prompt is not None:
        messages.insert(0, {"role": "system", "content": system_prompt})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    if text.count(_PLACEHOLDER) != 1:
        raise ValueError(f"the chat template shows the user message {text.count(_PLACEHOLDER)} times, not once")
    before, after = text.split(_PLACEHOLDER)
    prefix, suffix = (tuple(tokenizer.encode(part, add_special_tokens=False)) for part in (before, after))
    return prefix, suffix
