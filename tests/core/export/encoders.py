"""Tiny random encoders as model folders, with a WordPiece vocabulary trained on a few film reviews."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
)

from core.data.movie_reviews import held_out
from tests.core.tiny import POSITIONS, tiny_encoder_config

VOCABULARY = 600
CLASSES = {"masked": AutoModelForMaskedLM, "classification": AutoModelForSequenceClassification,
           "question_answering": AutoModelForQuestionAnswering}


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
    config = tiny_encoder_config(name, layers)
    config.update({"vocab_size": VOCABULARY, "pad_token_id": 0})
    if name == "modernbert":
        config.update({"local_attention": 8})  # shorter than the texts, so that both kinds of attention are met
    torch.manual_seed(0)
    model = CLASSES[task].from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tiny_tokenizer(mask).save_pretrained(folder)
    return folder
