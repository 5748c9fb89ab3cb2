"""Tiny random chat models with a byte-level tokenizer of their own, in memory or as folders."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from core.data.tokenizers import train_tokenizer
from tests.core.families import family_config
from tests.core.tiny import ARCHITECTURES, tiny_config

SENTENCES = ("A quiet film with a very good script.", "The plot is dull and the jokes are old.",
             "I liked the naïve café scene, it is touching.", "Is this review positive or negative?", "Write a positive one-line review.")


@cache
def chat_tokenizer(sentences: tuple[str, ...] = SENTENCES, positions: int = 64) -> PreTrainedTokenizerFast:
    return train_tokenizer([{"text": sentence} for sentence in sentences], 300, positions)


def chat_model(name: str = "llama", *, layers: int = 2, seed: int = 0, positions: int = 64, width: int | None = None) -> PreTrainedModel:
    """A model in evaluation mode, of a name in `tiny.ARCHITECTURES` or of a causal case of `families`, whose depth is its own.

    `width` pads its vocabulary. Its weights fit into bf16, so that loading never rounds them.
    """
    tokenizer = chat_tokenizer()
    config = tiny_config(name, layers) if name in ARCHITECTURES else family_config(name)
    config.update({"vocab_size": width or len(tokenizer), "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
                   "pad_token_id": tokenizer.pad_token_id, "max_position_embeddings": positions})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
            parameter.copy_(parameter.bfloat16())
    return model


def save_chat_model(folder: Path, *, name: str = "llama", layers: int = 2, seed: int = 0, positions: int = 512,
                    sentences: tuple[str, ...] = SENTENCES, endless: bool = False) -> Path:
    """A folder that `from_pretrained` loads, and every verb takes as a model; `name` as of `chat_model`.

    An `endless` model never draws its end token.
    """
    model, tokenizer = chat_model(name, layers=layers, seed=seed, positions=positions), chat_tokenizer(sentences)
    if endless:
        model.get_output_embeddings().weight.data *= 4
        model.get_output_embeddings().weight.data[tokenizer.eos_token_id] = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
