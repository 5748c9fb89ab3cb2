"""Tiny random encoders as model folders, with a WordPiece vocabulary trained on a few film reviews."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from core.data.house import held_out

VOCABULARY, WIDTH, POSITIONS = 600, 32, 64
ENCODERS = ("bert", "roberta", "distilbert", "electra", "modernbert")
CLASSES = {"masked": AutoModelForMaskedLM, "classification": AutoModelForSequenceClassification,
           "question_answering": AutoModelForQuestionAnswering}


def tiny_encoder_config(name: str, layers: int = 2) -> PreTrainedConfig:
    ids: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0}
    sizes: dict[str, Any] = {**ids, "hidden_size": WIDTH, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 48}
    match name:
        case "bert":
            return BertConfig(**sizes, max_position_embeddings=POSITIONS)
        case "roberta":
            return RobertaConfig(**sizes, max_position_embeddings=POSITIONS + 1, type_vocab_size=1)
        case "distilbert":
            return DistilBertConfig(**ids, dim=WIDTH, n_layers=layers, n_heads=4, hidden_dim=48, max_position_embeddings=POSITIONS)
        case "electra":
            return ElectraConfig(**sizes, embedding_size=16, max_position_embeddings=POSITIONS)
        case "modernbert":
            return ModernBertConfig(**sizes, max_position_embeddings=POSITIONS, local_attention=8, global_attn_every_n_layers=2,
                                    bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3)
    raise ValueError(name)


@lru_cache(maxsize=1)
def _trained_tokenizer() -> str:
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator((review.text for review in held_out("train", 200)), vocab_size=VOCABULARY, show_progress=False)
    return trained.to_str()


def tiny_tokenizer(mask: bool = True) -> PreTrainedTokenizerFast:
    """The same for all: what a text becomes is not what these tests are about."""
    from tokenizers import Tokenizer

    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names |= {"mask_token": "[MASK]"} if mask else {}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_trained_tokenizer()), model_max_length=POSITIONS, **names)


def save_encoder(folder: Path, name: str, task: str = "masked", mask: bool = True, layers: int = 2) -> Path:
    """A folder as `save_pretrained` writes it; every parameter is random, so that any mix-up shows."""
    torch.manual_seed(0)
    model = CLASSES[task].from_config(tiny_encoder_config(name, layers)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tiny_tokenizer(mask).save_pretrained(folder)
    return folder
