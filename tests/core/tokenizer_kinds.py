"""Tiny tokenizers of every kind that models come with, six of each, and chat templates with a second version that says who wrote what."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

WORDS = ["the", "quiet", "river", "holds", "a", "small", "lamp", "near", "user", "assistant", "system", "User:", "Assistant:", "is", "it",
         "good", "naïve", "café", "模型", "und", "7", "42"]
TEXTS = [" ".join(WORDS[start:] + WORDS[:start]) + ".\n" for start in range(len(WORDS))] * 4
SPECIAL = ["<unk>", "<s>", "</s>"]
CHAT = ["<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SIZES = (400, 500, 600)
VARIANTS = range(6)  # three vocabularies, each in two ways


def byte_level(variant: int, trim: bool | None = None) -> Tokenizer:
    """GPT-2's kind; `trim`: whether offsets leave out spaces (default: in every second variant)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=variant == 5), decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=variant % 2 == 0 if trim is None else trim)
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=SIZES[variant // 2], special_tokens=[*SPECIAL, *CHAT],
                                                             initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def _sentencepiece(variant: int, scheme: str) -> Tokenizer:
    """Llama's kind: BPE over pieces with a sign for the space, characters that it does not know as bytes."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=SIZES[variant // 2] + 100, special_tokens=[*SPECIAL, *BYTES, *CHAT],
                                                           show_progress=False))
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=variant % 2 == 0))
    if scheme == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=variant % 2 == 0)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    source, target = json.loads(trained.to_str()), json.loads(tokenizer.to_str())
    target["model"] |= {key: source["model"][key] for key in ("vocab", "merges")}
    target["added_tokens"] = [token for token in source["added_tokens"] if token["content"] not in BYTES]
    tokenizer = Tokenizer.from_str(json.dumps(target))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def word_piece(variant: int) -> Tokenizer:
    """BERT's kind: it drops white space, and accents and capitals in every second variant."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=variant % 2 == 0)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=SIZES[variant // 2] - 300, special_tokens=[*SPECIAL, *CHAT],
                                                                   show_progress=False))
    return tokenizer


def unigram(variant: int) -> Tokenizer:
    """T5's kind, with its normalisation in every second variant."""
    tokenizer = Tokenizer(models.Unigram())
    if variant % 2:
        tokenizer.normalizer = normalizers.NFKC()
    scheme = ("always", "first", "never")[variant // 2]
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(prepend_scheme=scheme), decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=120, special_tokens=[*SPECIAL, *CHAT], unk_token="<unk>",
                                                                 show_progress=False))
    return tokenizer


KINDS: dict[str, Callable[[int], Tokenizer]] = {
    "byte-level BPE": byte_level, "WordPiece": word_piece, "Unigram": unigram,
    **{f"SentencePiece {scheme}": lambda variant, scheme=scheme: _sentencepiece(variant, scheme)
       for scheme in ("legacy", "always", "first", "never")}}


@cache
def tokenizer_of(kind: str, variant: int) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](variant), bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                                   pad_token="</s>", clean_up_tokenization_spaces=False)


# ---------------------------------------------------------------------------------------------------- templates

Messages = list[dict[str, str]]
Written = list[tuple[str, bool]]  # parts of a rendered conversation, and whether the assistant writes them

IM = "<|im_start|>{{ m['role'] }}\n"
GENERATION = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TEMPLATES: dict[str, str | None] = {
    "none": None,
    "chatml": "{% for m in messages %}" + IM + "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}" + GENERATION,
    "marked": ("{% for m in messages %}" + IM + "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}"
               "{% endgeneration %}{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}" + GENERATION),
    "zephyr": ("{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"),
    "llama2": ("{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
               "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"),
    "trims": ("{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
              "m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"),
    "rewrites": ("{% for m in messages %}" + IM + "{% set content = m['content'] %}{% if m['role'] == 'assistant' %}"
                 "{% set reasoning = '' %}{% if '</think>' in content %}"
                 "{% set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
                 "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
                 "{% if loop.last %}{{ '<think>\n' + reasoning + '\n</think>\n\n' + content.lstrip('\n') }}"
                 "{% else %}{{ content }}{% endif %}"
                 "{% else %}{{ content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}" + GENERATION),
}


def written(name: str, messages: Messages) -> Written:
    """A second version of each template, which says of each part whether the assistant writes it."""
    parts: Written = [("<s>", False)] if name == "trims" else []
    for number, message in enumerate(messages):
        role, content, answers = message["role"], message["content"], message["role"] == "assistant"
        if name == "none":
            parts += [(f"{role.capitalize()}:", False), (f" {content}\n", answers), ("</s>" if answers else "", answers)]
        elif name == "zephyr":
            parts += [(f"<|{role}|>\n", False), (f"{content}</s>", answers), ("\n", False)]
        elif name == "llama2":
            parts += [(f" {content} </s>", True) if answers else (f"<s>[INST] {content} [/INST]", False)] if role != "system" else [
                (f" {content} </s>", False)]
        elif name == "trims":
            role = "model" if answers else role
            parts += [(f"<start_of_turn>{role}\n", False), (f"{content.strip()}<end_of_turn>", answers), ("\n", False)]
        else:
            if name == "rewrites" and answers:
                reasoning = content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n") if "</think>" in content else ""
                content = content.split("</think>")[-1].lstrip("\n") if "</think>" in content else content
                if number == len(messages) - 1:
                    content = f"<think>\n{reasoning}\n</think>\n\n" + content.lstrip("\n")
            parts += [(f"<|im_start|>{role}\n", False), (f"{content}<|im_end|>", answers), ("\n", False)]
    return parts
