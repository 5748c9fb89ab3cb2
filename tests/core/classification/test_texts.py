"""A sequence classifier is trained through the same door as a network for images."""

from __future__ import annotations

import pytest
import torch

from core.classification.items import ClassificationData
from core.classification.predicting import measure, predict_logits
from core.classification.texts import encode_task
from core.classification.training import train_classifier
from core.config import TrainSpec
from core.errors import CompatibilityError
from core.models import catalog
from core.tasks.data import Example, Question, TaskData
from core.tasks.heads import with_head

WORDS = {"good": 1, "great": 1, "fine": 1, "bad": 0, "awful": 0, "dull": 0}
TEXTS = tuple(Example(f"a {word} film about {place}", label) for word, label in WORDS.items()
              for place in ("love", "war", "a dog", "the sea", "money", "a long journey home"))
TASK = TaskData("films", "classification", ("negative", "positive"), TEXTS, TEXTS[::5], max_length=16)


def test_texts_are_learnt_and_padding_does_not_count() -> None:
    start = catalog.load("house-encoder", dtype=torch.float32)
    model = with_head(start, TASK, 0)
    data: ClassificationData = encode_task(TASK, start.tokenizer, model)
    assert data.labels == TASK.labels and len(data.train) + len(data.validation) == len(TEXTS) and len(data.test) == len(TEXTS[::5])
    alone = torch.cat([predict_logits(model, data.test.take(slice(place, place + 1))) for place in range(len(data.test))])
    torch.testing.assert_close(predict_logits(model, data.test), alone, rtol=1e-3, atol=1e-4)
    train_classifier(model, data.train, train=TrainSpec(max_steps=12, per_device_train_batch_size=16, learning_rate=1e-3))
    assert measure(predict_logits(model, data.test), data.test.targets)["accuracy"] > 0.8


def test_questions_have_no_classes() -> None:
    start = catalog.load("house-encoder", dtype=torch.float32)
    question = Question("1", "who", "he did", (("he", 0),))
    with pytest.raises(CompatibilityError, match="question answering"):
        encode_task(TaskData("q", "question_answering", (), (question,), (question,)), start.tokenizer, start.model)
