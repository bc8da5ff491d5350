"""A small policy made from scratch: a decoder and a tokenizer made from the task's own text.

With it a CPU can run everything: the quickstart, the tests, the ablations. Saved, it is an ordinary Hugging
Face folder, except at line and column positions, which Stride alone loads.
"""

from __future__ import annotations

import random
import re
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from configs.schema.config import TinyModelConfig
from envs import Env, Problem
from envs.trace import BACKTRACK
from rl.models.number_features import start_from_features
from rollout.line_llama import LineLlamaConfig, LineLlamaForCausalLM
from rollout.prompt_format import PLAIN, PromptFormat

# Words and symbols include their neighbouring space. Digits are single tokens, so numbers of any length are
# read digit by digit, except numbers short enough to be one token.
_PIECE = rf"{BACKTRACK} ?| ?[^\w\s] ?|[^\W\d]+ ?|\d|\s"
_SHORT_NUMBER = r"(?<!\d)(?:0|[1-9]\d{{0,{more}}})(?!\d)"
_NAME = r"(?:[^\W\d_]+\d+){2,}"
_WORD, _SIGN = r"[^\W\d]+", r"[^\w\s] ?"
_PAIR = r"(?<![\d,]){number},{number}(?={signs})"
_PAD, _EOS, _UNKNOWN = "<|pad|>", "<|end|>", "<|unknown|>"
_SAMPLES_PER_SPLIT = 200


def make_tokenizer(
    env: Env[Any],
    number_digits: int = 1,
    join_signs: bool = False,
    prompts: PromptFormat = PLAIN,
    *,
    join_words: bool = False,
    join_pairs: bool = False,
    join_names: bool = False,
) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary is every piece of the environment's prompts and traces.

    Args:
        env: Gives the texts.
        number_digits: Numbers of up to this many digits, without leading zeros, are one token each.
        join_signs: Such a number and the sign right after it are one token, for the signs that follow one in
            the environment's texts.
        prompts: The format of prompts.
        join_words: A word and the sign right after it are one token.
        join_pairs: Two such numbers with a comma between are one token, for the numbers of such pairs in the
            environment's questions, before the signs that follow them there.
        join_names: A name of letters and digits ("r1c2") and the sign right after it are one token.
    """
    texts = _sample_texts(env, prompts)
    number = _SHORT_NUMBER.format(more=number_digits - 1)
    signs = {sign for text in texts for sign in re.findall(f"{number}({_SIGN})", text)} if join_signs else set()
    endings = [*sorted(signs, key=len, reverse=True), ""]
    piece = f"{number}(?:{'|'.join(map(re.escape, endings))})|{_PIECE}"
    if join_names:
        piece = f"{_NAME}(?:{_SIGN})?|{piece}"
    if join_words:
        piece = f"{_WORD}{_SIGN}|{piece}"
    pieces = {f"{value}{ending}" for value in range(10**number_digits) for ending in endings}
    pieces |= {BACKTRACK, f"{BACKTRACK} ", " ", "\n"}
    for text in texts:
        pieces.update(re.findall(piece, text))
    if join_pairs:
        numbers, closing = _pairs(env, number)
        piece = (
            f"{_PAIR.format(number=number, signs='|'.join(map(re.escape, closing)))}|{piece}"
            if closing
            else piece
        )
        pieces |= {f"{u},{v}" for u in numbers for v in numbers}
    # A word or symbol may stand with or without its neighbouring spaces in texts not sampled here.
    vocabulary = [_PAD, _EOS, _UNKNOWN, *sorted(pieces)]
    tokenizer = Tokenizer(
        models.WordLevel({piece: i for i, piece in enumerate(vocabulary)}, unk_token=_UNKNOWN)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(piece), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in (_PAD, _EOS, _UNKNOWN)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_EOS,
        unk_token=_UNKNOWN,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def make_model(config: TinyModelConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """A Llama, one at line or column positions or a SmolLM3, as the config says, drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _draw(config, tokenizer)
    if config.number_features is not None:
        start_from_features(model, tokenizer, seed)
    return model


def _draw(config: TinyModelConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_heads,
        "attention_bias": config.attention_bias,
        "initializer_range": config.initializer_range,
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if config.positions == "rotary":
        return LlamaForCausalLM(LlamaConfig(**shape))
    if config.positions in ("lines", "columns"):
        return LineLlamaForCausalLM(
            LineLlamaConfig(
                **shape,
                line_stride=config.line_stride,
                newline_token_ids=_newlines(tokenizer),
                line_window=config.line_window,
                digit_token_ids=_digits(tokenizer) if config.positions == "columns" else [],
            )
        )
    return SmolLM3ForCausalLM(SmolLM3Config(**shape, **_positions(config)))


def _newlines(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens that end a line."""
    return sorted(token for piece, token in tokenizer.get_vocab().items() if piece.endswith("\n"))


def _digits(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens of one digit."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary[str(digit)] for digit in range(10))


def _positions(config: TinyModelConfig) -> dict[str, Any]:
    """Settings of a SmolLM3: the layers that are rotary, and those that see a window."""
    rotary = [config.positions == "hybrid" and layer % 2 == 0 for layer in range(config.num_layers)]
    settings: dict[str, Any] = {
        "no_rope_layers": [int(one) for one in rotary],
        "rope_parameters": {"rope_type": "default", "rope_theta": LlamaConfig.default_theta},
    }
    if config.rotary_window is not None:
        settings["use_sliding_window"] = True
        settings["sliding_window"] = config.rotary_window
        settings["layer_types"] = ["sliding_attention" if one else "full_attention" for one in rotary]
    return settings


def _sample_texts(env: Env[Any], prompts: PromptFormat) -> list[str]:
    texts = []
    for split in env.splits:
        for index in range(env.num_problems(split) or _SAMPLES_PER_SPLIT):
            problem = env.problem(split, index)
            for budget in (None, 1, 2):
                pieces = prompts.text(env.with_budget(problem, budget))
                texts.append("".join([piece.text for piece in pieces]))
            texts += [
                env.part_of(problem).demonstrate(lines, problem.answer) for lines in _traces(env, problem)
            ]
    return texts


def _pairs(env: Env[Any], number: str) -> tuple[set[str], list[str]]:
    """The numbers of pairs in questions, and the signs that close them; a longer list has none."""
    pair = re.compile(rf"(?<![\d,])({number}),({number})(?!,)({_SIGN})")
    found = {
        pieces
        for split in env.splits
        for index in range(env.num_problems(split) or _SAMPLES_PER_SPLIT)
        for pieces in pair.findall(env.problem(split, index).question)
    }
    numbers = {one for u, v, _ in found for one in (u, v)}
    return numbers, sorted({sign for *_, sign in found}, key=len, reverse=True)


def _traces(env: Env[Any], problem: Problem) -> list[tuple[str, ...]]:
    """Traces of every kind that a warm start may teach."""
    part = env.part_of(problem)
    if not part.has_solutions:
        return []
    rng = random.Random(0)
    full = env.full_trace(problem)
    skipped = [env.skipped_trace(problem, kind, rng) for kind in part.skip_kinds]
    demonstrations = [env.detour_trace(problem, [kind], rng) for kind in part.error_kinds]
    demonstrations += [env.padded_trace(problem, len(full) + 6, rng), env.search_trace(problem, rng)]
    lines = [
        full,
        *skipped,
        *[demonstration.lines for demonstration in demonstrations if demonstration is not None],
    ]
    return [trace for trace in lines if trace is not None]
