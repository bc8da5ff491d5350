"""Text to token ids and back, in one place: whatever asks for a prompt, it is encoded here.

Prompts are encoded as the library does it: the chat template's text by itself, other text with the special
tokens that the tokenizer puts around it. The text of a problem is data: control tokens spelled out in it stay
ordinary text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from envs import Problem, Split, Thinking
from rollout.chat_template import ChatTemplate
from rollout.prompt_format import PLAIN, Message, Piece, PromptFormat


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A tokenizer with the format of its prompts.

    Attributes:
        tokenizer: The policy's.
        prompts: How a problem becomes text.
        chat: The chat template that prompts are put into, or None.
        prefix_ids: Special tokens that the tokenizer puts before a text, such as BOS; none with a chat
            template, which writes its own.
        suffix_ids: Special tokens that it puts after a text, without those that end it.
        control_ids: Tokens that stand for no text.
        stop_ids: Tokens that end a completion; the warm start teaches the first one. With a chat template this
            is the one that ends the assistant's turn.
        pad_id: Token that pads rows; always masked.
        thinking: Marks of a thought; None for a model that does not think.
        given_thought: The start of a thought that prompts end with, such as "<think>" and a newline; "" if they
            open none.
        teaches_thought: Whether the warm start writes a thought around its traces.
    """

    tokenizer: PreTrainedTokenizerBase
    prompts: PromptFormat
    chat: ChatTemplate | None
    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    control_ids: frozenset[int]
    stop_ids: tuple[int, ...]
    pad_id: int
    thinking: Thinking | None = None
    given_thought: str = ""
    teaches_thought: bool = False
    _pieces: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _allowed: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of plain text; control tokens in it are encoded as ordinary characters."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def encode_prompt(self, problem: Problem) -> tuple[int, ...]:
        """Ids of a problem's prompt, prefill included.

        The whole text is tokenized at once. Only where that would make control tokens of the problem's text are
        its pieces tokenized one by one.

        Raises:
            ValueError: The chat template refuses the messages.
        """
        if self.chat is None:
            pieces = [*self.prompts.text(problem)]
            text = "".join([piece.text for piece in pieces])
        else:
            messages = self.prompts.messages(problem)
            pieces = [*self.chat.pieces(messages), Piece(self.prompts.prefill)]
            text = self.chat.render(messages) + self.prompts.prefill
        ids = self._encode_format(text)
        around = "".join(["x" if is_data else text for text, is_data in pieces])
        if around not in self._allowed:  # few texts: those around the data of a prompt
            self._allowed[around] = self._controls(self._encode_format(around))
        if self._controls(ids) != self._allowed[around]:
            parts = [self.encode(text) if is_data else self._encode_format(text) for text, is_data in pieces]
            ids = tuple([token for part in parts for token in part])
        prefix = () if ids[: len(self.prefix_ids)] == self.prefix_ids else self.prefix_ids
        return (*prefix, *ids, *self.suffix_ids)

    def taught(self, text: str) -> str:
        """What is left to write of a reference completion after the prompt.

        A model that thinks gets the lines before the last one as a thought. What the prompt has begun, of the
        thought or by the prefill, is not written again.
        """
        if self.teaches_thought and self.thinking is not None:
            text = self.thinking.wrap(text).removeprefix(self.given_thought)
        return text.removeprefix(self.prompts.prefill)

    def taught_offset(self, text: str) -> int:
        """How far a place in the lines of a reference completion moves in `taught(text)`, in characters."""
        start = len(self.thinking.open) + 1 if self.teaches_thought and self.thinking is not None else 0
        whole = self.thinking.wrap(text) if start and self.thinking is not None else text
        return start - (len(whole) - len(self.taught(text)))

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Ids of what is left of a reference completion after the prompt, and the stop token."""
        return (*[token for token, _ in self.encode_taught(text)], self.stop_ids[0])

    def encode_taught(self, text: str) -> list[tuple[int, tuple[int, int]]]:
        """The tokens of `taught(text)`, each with its start and end there, in characters.

        The marks of a thought may be control tokens; the rest of the text is data.
        """
        taught, found, start = self.taught(text), list[tuple[int, tuple[int, int]]](), 0
        for piece in self._split_marks(taught):
            encoding = self.tokenizer(
                piece.text,
                add_special_tokens=False,
                split_special_tokens=piece.is_data,
                return_offsets_mapping=True,
            )
            tokens = zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
            found += [(token, (start + first, start + last)) for token, (first, last) in tokens]
            start += len(piece.text)
        return found

    def encode_sampled(self, text: str) -> list[tuple[int, tuple[int, int]]]:
        """The tokens of a decoded completion after the prefill, each with its start and end in `text`.

        Control tokens in it were sampled as such, and are again.
        """
        start = len(self.prompts.prefill)
        encoding = self.tokenizer(text[start:], add_special_tokens=False, return_offsets_mapping=True)
        tokens = zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
        return [(token, (start + first, start + last)) for token, (first, last) in tokens]

    def _split_marks(self, taught: str) -> list[Piece]:
        """The taught text, with the marks of its thought apart where they are control tokens."""
        marks = self.thinking if self.teaches_thought else None
        if marks is None or not self._controls(self._encode_format(marks.open + marks.close)):
            return [Piece(taught, is_data=True)]
        start = len(marks.open) if taught.startswith(marks.open) else 0
        end = taught.rindex(marks.close)
        after = end + len(marks.close)
        lines, last = Piece(taught[start:end], is_data=True), Piece(taught[after:], is_data=True)
        return [Piece(taught[:start]), lines, Piece(taught[end:after]), last]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Text of each token by itself; part of a character shows as the replacement character."""
        for token in {*ids} - self._pieces.keys():
            self._pieces[token] = self.show([token])
        return [self._pieces[token] for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a completion: the prefill, then what was sampled without its final stop token."""
        if ids and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        return self.prompts.prefill + self.show(ids)

    def show(self, ids: Sequence[int]) -> str:
        """Text of ids with all control tokens."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def _encode_format(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self.control_ids]


def make_encoder(
    tokenizer: PreTrainedTokenizerBase,
    prompts: PromptFormat = PLAIN,
    *,
    extra_stop_ids: Sequence[int] = (),
) -> Encoder:
    """Find the stop tokens, the padding and the special tokens of a tokenizer.

    A tokenizer without a padding token is padded with its end-of-text token. Rows carry an explicit mask, so
    padding is never read or learned.

    Args:
        tokenizer: Any fast tokenizer.
        prompts: How a problem becomes text.
        extra_stop_ids: Further end tokens that the model declares.

    Raises:
        ValueError: There is no end-of-text token, the chat template is missing or cannot be used, or the
            prefill would end a completion.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end-of-text (eos) token, so no completion would ever end; set "
            "`eos_token` in its tokenizer_config.json"
        )
    chat = _chat_template(tokenizer, prompts)
    turn_end = chat.turn_end() if chat is not None else None
    stop_ids = tuple(
        dict.fromkeys([*([] if turn_end is None else [turn_end]), tokenizer.eos_token_id, *extra_stop_ids])
    )
    for token in tokenizer.encode(prompts.prefill, add_special_tokens=False):
        if token in stop_ids:
            raise ValueError(
                f"prompt.prefill has {tokenizer.decode([token])!r}, which ends a completion; leave it out"
            )
    prefix, suffix = ((), ()) if chat is not None else _around(tokenizer, stop_ids)
    thinking = _thinking(prompts, chat)
    given, teaches = "", False
    if thinking is not None:
        end = _end_of_prompts(prompts, chat)
        given = next((start for start in (f"{thinking.open}\n", thinking.open) if end.endswith(start)), "")
        teaches = not end.rstrip().endswith(thinking.close)
    special = [token for token, added in tokenizer.added_tokens_decoder.items() if added.special]
    return Encoder(
        tokenizer=tokenizer,
        prompts=prompts,
        chat=chat,
        prefix_ids=prefix,
        suffix_ids=suffix,
        control_ids=frozenset([*special, *tokenizer.all_special_ids]) - {tokenizer.unk_token_id},
        stop_ids=stop_ids,
        pad_id=tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        thinking=thinking,
        given_thought=given,
        teaches_thought=teaches,
    )


def _thinking(prompts: PromptFormat, chat: ChatTemplate | None) -> Thinking | None:
    """The marks of a thought; found in the chat template if left open."""
    if prompts.thinking != "auto":
        return prompts.thinking
    usual = Thinking()
    source = "" if chat is None else str(chat.tokenizer.chat_template)
    return usual if usual.open in source and usual.close in source else None


def _end_of_prompts(prompts: PromptFormat, chat: ChatTemplate | None) -> str:
    """What stands between a problem and the completion, prefill excluded."""
    if chat is None:
        return prompts.templates.get(Split.TRAIN, "")
    return chat.render([Message("user", (Piece("1", is_data=True),))])


def _chat_template(tokenizer: PreTrainedTokenizerBase, prompts: PromptFormat) -> ChatTemplate | None:
    if prompts.chat_template is False:
        return None
    if not tokenizer.chat_template:
        needed = {
            "prompt.chat_template is true": prompts.chat_template is True,
            "prompt.system_prompt is set": prompts.system_prompt is not None,
            "prompt.chat_template_kwargs is set": bool(prompts.chat_template_kwargs),
        }
        for setting, is_needed in needed.items():
            if is_needed:
                raise ValueError(
                    f"{setting}, but the tokenizer has no chat template; remove the setting, or add "
                    "`chat_template` to the tokenizer, for example one that renders "
                    "'user: {question}\\nassistant: '"
                )
        return None
    chat = ChatTemplate(tokenizer=tokenizer, variables=prompts.chat_template_kwargs)
    chat.check(prompts.system_prompt, has_shots=prompts.num_shots > 0)
    return chat


def _around(
    tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that a tokenizer puts before and after a text; a prompt is not ended."""
    text = tokenizer.encode("a", add_special_tokens=False)
    whole = tokenizer.encode("a", add_special_tokens=True)
    starts = [at for at in range(len(whole)) if whole[at : at + len(text)] == text]
    if not text or not starts:
        return (), ()
    after = whole[starts[0] + len(text) :]
    return tuple(whole[: starts[0]]), tuple([token for token in after if token not in stop_ids])
