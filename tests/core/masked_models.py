"""A tiny WordPiece tokenizer and BERT models that share it, for tests of masked-language models."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from core.data.tokenizers import train_masked_tokenizer

TEXTS = ("the film was good and the plot was great", "the acting was bad and the story was boring", "I loved this movie", "I hated it",
         "a wonderful little film with a great cast", "a terrible waste of time")
POSITIONS = 48


@lru_cache(maxsize=1)
def masked_tokenizer() -> Any:
    return train_masked_tokenizer(({"text": text} for text in TEXTS * 4), 120, POSITIONS)


def masked_model(layers: int = 4, width: int | None = None, seed: int = 0, spread: float = 0.05) -> PreTrainedModel:
    tokenizer = masked_tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=width or len(tokenizer), hidden_size=32, intermediate_size=48, num_attention_heads=4,
                        num_hidden_layers=layers, max_position_embeddings=POSITIONS, pad_token_id=tokenizer.pad_token_id,
                        hidden_dropout_prob=0.0,
                        attention_probs_dropout_prob=0.0)
    model = AutoModelForMaskedLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model.eval()


def classifier(labels: tuple[str, ...] = ("negative", "positive"), seed: int = 0, spread: float = 0.2, **config: Any) -> PreTrainedModel:
    torch.manual_seed(seed)
    plain = masked_model(2).config.to_dict() | {"architectures": None, "id2label": dict(enumerate(labels)),
                                                "label2id": {label: number for number, label in enumerate(labels)}, **config}
    model = AutoModelForSequenceClassification.from_config(BertConfig.from_dict(plain))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model.eval()


def save(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    masked_tokenizer().save_pretrained(folder)
    return folder


def corpus(folder: Path, lines: int = 60) -> Path:
    path = folder / "texts.txt"
    path.write_text("\n\n".join(f"{TEXTS[number % len(TEXTS)]} {number}" for number in range(lines)), encoding="utf-8")
    return path
