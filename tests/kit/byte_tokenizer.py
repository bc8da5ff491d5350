"""Tokenizers of single bytes with real control tokens, and the chat templates of known model families."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

CONTROL = ("<|end|>", "<|pad|>", "<|user|>", "<|bot|>")
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}<|pad|>{{ m.content }}\n{% else %}"
    "<|user|>{{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|bot|>{% endif %}"
)


def byte_tokenizer(
    *, control: tuple[str, ...] = CONTROL, around: str | None = None, **names: str | None
) -> PreTrainedTokenizerFast:
    """One token a byte, and the control tokens.

    Args:
        control: The control tokens.
        around: What the tokenizer adds to a text `$A`, such as "<s> $A".
        **names: Special tokens and chat template in place of the usual ones; None: the tokenizer has none.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    if around is not None:
        added = [(token, tokenizer.token_to_id(token)) for token in control if token in around]
        tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=added)
    given = {"eos_token": "<|end|>", "pad_token": "<|pad|>", "chat_template": TEMPLATE} | names
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{name: value for name, value in given.items() if value is not None}
    )


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the models of a family mark turns and texts; the template is the real one without tools and dates.

    Attributes:
        control: Control tokens.
        template: Chat template.
        around: What the tokenizer adds to a text; None: nothing.
        bos: Token before a text, if there is one.
        eos: The tokenizer's end-of-text token.
        turn_end: Token that ends a turn of the assistant.
    """

    control: tuple[str, ...]
    template: str
    around: str | None = None
    bos: str | None = None
    eos: str
    turn_end: str

    def tokenizer(self, **names: str | None) -> PreTrainedTokenizerFast:
        """A byte tokenizer of the family; `names` as in `byte_tokenizer`."""
        own = {"eos_token": self.eos, "bos_token": self.bos, "pad_token": None, "chat_template": self.template}
        return byte_tokenizer(control=self.control, around=self.around, **(own | names))


FAMILIES = {
    "qwen": Family(
        control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        template=(
            "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
            "{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
        eos="<|endoftext|>",
        turn_end="<|im_end|>",
    ),
    # Thoughts of earlier turns are dropped; the last turn gets one, empty if its content has none.
    "qwen3": Family(
        control=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        template=(
            "{%- set ns = namespace(last=0) %}"
            "{%- for m in messages[::-1] %}{%- if m.role == 'user' and not ns.last %}"
            "{%- set ns.last = messages|length - loop.index0 %}{%- endif %}{%- endfor %}"
            "{%- for m in messages %}{%- set content = m.content.split('</think>')[-1].lstrip('\n') %}"
            "{{- '<|im_start|>' + m.role + '\n' }}"
            "{%- if m.role == 'assistant' and loop.index > ns.last %}"
            "{%- set thought = m.content.split('</think>')[0] if '</think>' in m.content else '' %}"
            "{{- '<think>\n' + thought.split('<think>')[-1].strip('\n') + '\n</think>\n\n' }}{%- endif %}"
            "{{- content + '<|im_end|>\n' }}{%- endfor %}"
            "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
            "{%- if enable_thinking is defined and enable_thinking is false %}"
            "{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
        ),
        eos="<|endoftext|>",
        turn_end="<|im_end|>",
    ),
    "llama3": Family(
        control=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        template=(
            "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
            "{{ m.content | trim }}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
        ),
        around="<|begin_of_text|> $A",
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
        turn_end="<|eot_id|>",
    ),
    "gemma": Family(
        control=("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        template=(
            "{{ bos_token }}{% if messages[0].role == 'system' %}"
            "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
            "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
            "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
            "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
        ),
        around="<bos> $A",
        bos="<bos>",
        eos="<eos>",
        turn_end="<end_of_turn>",
    ),
    "mistral": Family(
        control=("<s>", "</s>"),
        template=(
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
            "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
        ),
        around="<s> $A",
        bos="<s>",
        eos="</s>",
        turn_end="</s>",
    ),
}
