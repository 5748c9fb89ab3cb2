"""Class probabilities against the definition, and what cannot be classified."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from core.errors import CompatibilityError, CorruptModelError, DataError
from core.evaluation.classes import class_probabilities
from core.models import catalog, compatibility
from tests.core.masked_models import classifier, masked_tokenizer, save
from tests.core.tiny import tiny_encoder_config

TOKENIZER = masked_tokenizer()


def test_probabilities_are_the_softmax_in_the_models_own_order():
    model = classifier(("bad", "fair", "good"))
    shares = class_probabilities(model, TOKENIZER, "the film was good")
    with torch.no_grad():
        exact = model(**TOKENIZER("the film was good", return_tensors="pt")).logits[0].softmax(-1)
    assert [share.label for share in shares] == ["bad", "fair", "good"]
    assert [share.probability for share in shares] == pytest.approx(exact.tolist())


def test_labels_that_do_not_exclude_each_other_have_their_own_probabilities():
    model = classifier(problem_type="multi_label_classification")
    with torch.no_grad():
        exact = model(**TOKENIZER("good", return_tensors="pt")).logits[0].sigmoid()
    assert [share.probability for share in class_probabilities(model, TOKENIZER, "good")] == pytest.approx(exact.tolist())


def test_the_second_text_counts_as_one():
    model = classifier(spread=0.5)
    alone, apart, joined = (class_probabilities(model, TOKENIZER, *texts) for texts in (
        ("the film was good",), ("the film", "was good"), ("the film [SEP] was good",)))
    assert alone != apart
    assert apart != joined, "the token types distinguish the two texts"
    assert class_probabilities(model, TOKENIZER, "the film was good", "") == alone


@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra", "modernbert"])
def test_every_family_is_given_the_inputs_it_takes(family: str):
    config = tiny_encoder_config(family)
    config.vocab_size = len(TOKENIZER)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    assert sum(share.probability for share in class_probabilities(model, TOKENIZER, "the film", "was good")) == pytest.approx(1)


@pytest.mark.parametrize(("text", "message"), [(" ", "There is no text"), ("good " * 60, "The text takes 62 tokens. The model reads 48")])
def test_what_cannot_be_classified_is_reported(text: str, message: str):
    with pytest.raises(DataError) as error:
        class_probabilities(classifier(), TOKENIZER, text)
    assert message in str(error.value)


def test_a_regression_head_and_non_finite_weights_are_reported():
    with pytest.raises(CompatibilityError, match="single number"):
        class_probabilities(classifier(("score",)), TOKENIZER, "good")
    broken = classifier()
    with torch.no_grad():
        broken.classifier.bias.fill_(float("inf"))
    with pytest.raises(CorruptModelError):
        class_probabilities(broken, TOKENIZER, "good")


def test_a_saved_classifier_is_one_in_the_catalogue_and_nothing_else(tmp_path: Path):
    entry = catalog.load(str(save(classifier(), tmp_path / "judge"))).entry
    compatibility.require_task(entry, "classification")
    with pytest.raises(CompatibilityError, match=r"classifies texts\. A model that predicts masked tokens was expected"):
        compatibility.require_task(entry, "masked")
