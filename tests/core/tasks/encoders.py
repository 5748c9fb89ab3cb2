"""Tiny encoders of every family with one tokenizer, and small tasks for them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from core.data.tokenizers import train_masked_tokenizer
from core.models import catalog
from core.models.entries import LoadedModel
from core.tasks.data import Example, Question, TaskData
from tests.core.tiny import tiny_encoder_config

GOOD, BAD = ("good", "great", "lovely"), ("bad", "boring", "awful")
TEXTS = ("the film was good and great", "a lovely story with a long end", "the film was bad", "a boring plot and an awful end",
         "who wrote the film", "anna wrote the film in berlin and ben wrote the story in rome")
POSITIONS = 64


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    return train_masked_tokenizer(({"text": text} for text in TEXTS * 4), 200, POSITIONS)


def encoder(folder: Path, name: str = "bert", layers: int = 2, seed: int = 0) -> LoadedModel:
    """A random masked-language model, saved and loaded as any user's."""
    torch.manual_seed(seed)
    config = tiny_encoder_config(name, layers)
    config.vocab_size, config.pad_token_id = len(tokenizer()), tokenizer().pad_token_id
    if not folder.is_dir():
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return catalog.load(str(folder), dtype=torch.float32)


def sentiment(train: int = 48, held_out: int = 16, **changes: Any) -> TaskData:
    """Texts whose label is one word of them."""
    def example(number: int) -> Example:
        label = number % 2
        word = (BAD, GOOD)[label][number // 2 % 3]
        return Example(("the film was ", "a story with a ", "anna wrote a ")[number % 3] + word + " film" * (number % 5), label)

    made = [example(number) for number in range(train + held_out)]
    known = {"labels": ("negative", "positive"), "max_length": 32, **changes}
    return TaskData("sentiment", "classification", train=tuple(made[:train]), validation=tuple(made[train:]), **known)


def questions(train: int = 24, held_out: int = 8, **changes: Any) -> TaskData:
    """Who wrote what: the answer is the name in front of "wrote"."""
    def question(number: int) -> Question:
        name = ("anna", "ben")[number % 2]
        context = f"{'a lovely story with a long end ' * (number % 3)}{name} wrote the film in rome"
        return Question(str(number), "who wrote the film", context, ((name, context.index(name)),))

    made = [question(number) for number in range(train + held_out)]
    known = {"max_length": 48, "doc_stride": 8, **changes}
    return TaskData("questions", "question_answering", (), tuple(made[:train]), tuple(made[train:]), **known)
