"""A Llama whose rotary positions follow from the text: its lines (`positions.py`) or `column_positions.py`.

With a window, so do the tokens that it attends to (`line_window.py`). Its forward computes both, so whoever
passes tokens and a mask needs to know nothing: TRL's trainers, key steps, analyses. It is a model type of its
own, since a program that took its folder for an ordinary Llama would read every token after the first newline
at a wrong position, without any sign. Importing this module lets the library's `Auto` classes load it.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaModel, LlamaPreTrainedModel

from rollout.column_positions import ColumnPositions
from rollout.line_window import LineWindow
from rollout.positions import InOrder, LinePositions, Positions


class LineLlamaConfig(LlamaConfig):  # type: ignore[no-untyped-call]
    """A Llama's config with the rule of its positions.

    Saved folders name the type, so it stays what it was when lines were the only rule.

    Attributes:
        line_stride: Positions between the starts of lines, or between columns.
        newline_token_ids: Tokens that end a line.
        line_window: Lines that a token attends to, its own included; None: all.
        digit_token_ids: Tokens of one digit, for column positions; none: line positions.
    """

    model_type = "stride_line_llama"

    line_stride: int = 64
    newline_token_ids: Sequence[int] = ()
    line_window: int | None = None
    digit_token_ids: Sequence[int] = ()

    @property
    def positions(self) -> LinePositions | ColumnPositions:
        """The rule."""
        newline_ids, digit_ids = tuple(self.newline_token_ids), tuple(self.digit_token_ids)
        if digit_ids:
            return ColumnPositions(stride=self.line_stride, newline_ids=newline_ids, digit_ids=digit_ids)
        return LinePositions(stride=self.line_stride, newline_ids=newline_ids)

    @property
    def window(self) -> LineWindow | None:
        """The lines that a token attends to; None: all."""
        if self.line_window is None:
            return None
        return LineWindow(lines=self.line_window, newline_ids=tuple(self.newline_token_ids))


class LineLlamaModel(LlamaModel):  # type: ignore[no-untyped-call]
    """The layers of a Llama, at line or column positions."""

    config: LineLlamaConfig
    config_class = LineLlamaConfig

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """See `LlamaModel.forward`; positions that are not given follow from the text of `input_ids` [B, T].

        After a KV cache the mask must leave out what is not in the window, since the lines there are unknown: a
        mask [B, T] for one new token, one of 4 axes for more.

        Raises:
            ValueError: Positions or a window are needed, but the tokens before `input_ids`, or all of them, are
                unknown; or there is a window, and the mask after a KV cache cannot leave out what is not in it.
        """
        goes_on = past_key_values is not None and past_key_values.get_seq_length() > 0
        given = input_ids if input_ids is not None else inputs_embeds
        if attention_mask is None and not goes_on and given is not None:
            # Without a mask the library takes a jump of positions for the start of another text.
            attention_mask = torch.ones(given.shape[:2], dtype=torch.long, device=given.device)
        if position_ids is None:
            if goes_on or input_ids is None or attention_mask is None or attention_mask.dim() != 2:
                known = "a KV cache" if goes_on else "no token ids" if input_ids is None else "a mask of 4 axes"
                raise ValueError(
                    f"{type(self).__name__} got {known} and no position_ids, but its positions follow from the "
                    "whole text; pass position_ids, or all token ids with a mask [B, T]"
                )
            position_ids = self.config.positions.read(input_ids, attention_mask)
        if self.config.window is not None:
            if not goes_on:
                attention_mask = self._window_mask(self.config.window, input_ids, attention_mask)
            elif attention_mask is None or (attention_mask.dim() == 2 and position_ids.shape[1] > 1):
                known = "no mask" if attention_mask is None else "several tokens with a mask of 2 axes"
                raise ValueError(
                    f"{type(self).__name__} got {known} after a KV cache, but it attends to the last lines "
                    "only; pass one token at a time, with a mask [B, T] of what is in them"
                )
        outputs: BaseModelOutputWithPast = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        return outputs

    def _window_mask(
        self, window: LineWindow, input_ids: torch.Tensor | None, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """The causal mask of the window, as the attention in use takes it."""
        if input_ids is None or attention_mask is None or attention_mask.dim() != 2:
            known = "no token ids" if input_ids is None else "a mask of 4 axes"
            raise ValueError(
                f"{type(self).__name__} got {known}, but the lines that a token attends to follow from the "
                "whole text; pass all token ids with a mask [B, T]"
            )
        line_BT = window.line_numbers(input_ids, attention_mask)
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=input_ids[..., None].to(self.dtype),  # gives shape, type and device
            attention_mask=attention_mask,
            past_key_values=None,
            and_mask_function=lambda b, _, q, k: line_BT[b, k] > line_BT[b, q] - window.lines,
        )
        assert isinstance(mask, torch.Tensor) and mask.dim() == 4, "this attention takes no mask"
        return mask


class LineLlamaForCausalLM(LlamaForCausalLM):
    """A Llama at line or column positions, with its output layer."""

    config_class = LineLlamaConfig

    def __init__(self, config: LineLlamaConfig) -> None:
        """Make it, with random weights."""
        LlamaPreTrainedModel.__init__(self, config)
        self.model = LineLlamaModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def generate(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: the library would count positions token by token.

        Raises:
            NotImplementedError: Always; says what to use.
        """
        raise NotImplementedError(
            f"{type(self).__name__} is not sampled by the library's generate, which counts positions token by "
            "token; use Stride's engine (`stride chat`, `stride evaluate`)"
        )


def positions_of(model: nn.Module) -> Positions:
    """The rule by which an engine gives positions to a model's tokens."""
    config: Any = model.config
    return config.positions if isinstance(config, LineLlamaConfig) else InOrder()


def window_of(model: nn.Module) -> LineWindow | None:
    """The last lines that a model's tokens attend to; None: all tokens before them."""
    config: Any = model.config
    return config.window if isinstance(config, LineLlamaConfig) else None


AutoConfig.register(LineLlamaConfig.model_type, LineLlamaConfig)
AutoModel.register(LineLlamaConfig, LineLlamaModel)
AutoModelForCausalLM.register(LineLlamaConfig, LineLlamaForCausalLM)
