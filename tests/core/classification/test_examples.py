"""Logits of one example, from each kind of model, against the model itself."""

from __future__ import annotations

import pytest
import torch

from core.classification.examples import example_logits
from core.classification.images import load_images
from core.config import ImagesSpec
from core.errors import CompatibilityError, DataError
from core.evaluation.sentiment import encode_prompt, label_scores, label_tokens
from core.models import catalog
from core.models.entries import LoadedModel


@pytest.fixture(scope="module")
def models() -> dict[str, LoadedModel]:
    return {name: catalog.load(name, dtype=torch.float32) for name in ("house-digits", "house-chat", "house-encoder")}


def test_a_digit_has_the_logits_of_its_classes_its_picture_and_its_label(models: dict[str, LoadedModel]) -> None:
    found, data = example_logits("digit", "3", models["house-digits"], models["house-digits"]), load_images(ImagesSpec())
    item = data.test.inputs["pixel_values"][3:4]
    expected = models["house-digits"].model(item).logits[0]
    assert found.logits == pytest.approx(expected.sort(descending=True).values.tolist(), abs=1e-4) and found.student == found.logits
    assert found.labels == [str(int(number)) for number in expected.argsort(descending=True)]
    assert found.right == str(int(data.test.targets[3])) and torch.equal(torch.tensor(found.picture), item[0, 0])


def test_a_next_token_and_a_blank_have_the_whole_vocabulary(models: dict[str, LoadedModel]) -> None:
    token = example_logits("token", "Write a positive one-line review.", models["house-chat"], count=5)
    assert len(token.labels) == 5 and len(token.logits) == 4096 and token.logits == sorted(token.logits, reverse=True)
    blank = example_logits("blank", "A [MASK] film.", models["house-encoder"], models["house-encoder"])
    assert len(blank.logits) == 8192 and blank.student == blank.logits and blank.picture is None


def test_a_review_is_judged_by_the_words_for_its_label(models: dict[str, LoadedModel]) -> None:
    chat, text = models["house-chat"], "A joy from the first scene to the last."
    found = example_logits("review", text, chat)
    scores = label_scores(chat.model, [encode_prompt(text, chat.tokenizer, 400, 200)], label_tokens(chat.tokenizer), torch.device("cpu"))[0]
    assert found.labels[0] == "Positive" and found.logits == pytest.approx(scores.sort(descending=True).values.tolist(), abs=1e-3)


@pytest.mark.parametrize(("kind", "text", "model", "error", "words"), [
    ("digit", "3", "house-chat", CompatibilityError, "reads no images"), ("digit", "449", "house-digits", DataError, "There is no digit"),
    ("token", "x", "house-encoder", CompatibilityError, "does not predict the next token"),
    ("review", " ", "house-chat", DataError, "There is no text"), ("blank", "no gap", "house-encoder", DataError, "blank|MASK"),
    ("review", "x", "house-digits", CompatibilityError, "do not judge a text")])
def test_what_does_not_fit_is_explained(models: dict[str, LoadedModel], kind: str, text: str, model: str, error: type[Exception],
                                        words: str) -> None:
    with pytest.raises(error, match=words):
        example_logits(kind, text, models[model])  # type: ignore[arg-type]
