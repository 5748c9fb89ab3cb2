"""Heads of every family: what is kept of a model, what is new, and whose labels they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.config import TrainSpec
from core.data.tokenizers import train_masked_tokenizer
from core.errors import CompatibilityError
from core.models import catalog
from core.tasks.encoding import encode
from core.tasks.fine_tuning import answers, fine_tune, fine_tune_and_evaluate
from core.tasks.heads import label_order, with_head
from tests.core.tasks.encoders import encoder, questions, sentiment, tokenizer
from tests.core.tiny import ENCODERS

SPEC = TrainSpec(learning_rate=5e-3, per_device_train_batch_size=8, max_steps=60, lr_scheduler_type="linear", warmup_ratio=0.1,
                 precision="fp32", device="cpu", logging_steps=1, seed=1)

ONE = SPEC.model_copy(update={"max_steps": 1})


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("make", [sentiment, questions])
def test_every_family_gets_a_head_and_keeps_its_encoder(tmp_path, name, make) -> None:
    start, task = encoder(tmp_path / name, name), make()
    model = with_head(start, task, seed=3)
    theirs, ours = start.model.base_model.state_dict(), model.base_model.state_dict()
    assert {each for each in ours if each not in theirs} <= {each for each in ours if each.startswith("pooler.")}
    assert all(torch.equal(ours[each], theirs[each]) for each in theirs if each in ours)
    again, other = with_head(start, task, seed=3), with_head(start, task, seed=4)
    weights, same, different = (each.state_dict() for each in (model, again, other))
    assert all(torch.equal(weights[each], same[each]) for each in weights)
    assert any(not torch.equal(weights[each], different[each]) for each in weights)
    # What is saved is read back by anybody's class, labels included.
    model.save_pretrained(tmp_path / "tuned")
    tokenizer().save_pretrained(tmp_path / "tuned")
    loaded = catalog.load(str(tmp_path / "tuned"), dtype=torch.float32)
    assert loaded.entry.task == task.kind
    if task.labels:
        assert loaded.model.config.id2label == {0: "negative", 1: "positive"}
    tuned = fine_tune(start, task, train=ONE)
    assert tuned.steps == 1


def test_modernbert_keeps_the_transform_that_it_was_trained_with(tmp_path) -> None:
    start = encoder(tmp_path / "m", "modernbert")
    assert torch.equal(with_head(start, sentiment(), seed=0).head.dense.weight, start.model.head.dense.weight)


def test_a_fine_tuned_model_keeps_its_head(tmp_path) -> None:
    made, _ = fine_tune_and_evaluate(encoder(tmp_path / "b"), sentiment(), seed=1, spec=ONE)
    assert torch.equal(with_head(made, sentiment(), seed=9).classifier.weight, made.model.classifier.weight)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_head_is_kept_where_it_names_the_same_labels(tmp_path, name) -> None:
    start, task = encoder(tmp_path / name, name), sentiment()
    made, _ = fine_tune_and_evaluate(start, task, seed=1, spec=ONE)
    features = encode(task.validation, task, tokenizer(), 64)
    own = answers(made.model, features, tokenizer(), torch.float32)
    # The same labels in another order: the rows move with their labels.
    turned = with_head(made, replace(task, labels=("positive", "negative")), seed=9).eval()
    assert turned.config.id2label == {0: "positive", 1: "negative"}
    for mine, theirs in zip(answers(turned, features, tokenizer(), torch.float32), own, strict=True):
        assert mine == pytest.approx(theirs[::-1], abs=1e-5)
    # Other labels, as many of them: nothing of the old head says anything about them.
    strange = with_head(made, replace(task, labels=("no", "yes")), seed=9).state_dict()
    fresh = with_head(start, replace(task, labels=("no", "yes")), seed=9).state_dict()
    output = "classifier.out_proj.weight" if "classifier.out_proj.weight" in fresh else "classifier.weight"
    assert torch.equal(strange[output], fresh[output])


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_questions_after_a_classifier_get_a_head_of_their_own(tmp_path, name, labels) -> None:
    start, task = encoder(tmp_path / name, name), questions()
    classifier = replace(start, model=with_head(start, sentiment(labels=labels), seed=1),
                         entry=replace(start.entry, task="classification"))
    made, _ = fine_tune_and_evaluate(classifier, task, seed=2, spec=ONE)
    assert made.model.config.num_labels == 2 and made.model.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    after, fresh = with_head(classifier, task, seed=2).state_dict(), with_head(start, task, seed=2).state_dict()
    output = "qa_outputs.weight" if "qa_outputs.weight" in fresh else "classifier.weight"
    assert torch.equal(after[output], fresh[output])
    again = with_head(made, task, seed=5).state_dict()
    assert torch.equal(again[output], made.model.state_dict()[output]), "a question answering model keeps its head"


def test_labels_are_matched_by_name(tmp_path) -> None:
    task = sentiment()
    made, _ = fine_tune_and_evaluate(encoder(tmp_path / "t"), task, seed=1, spec=ONE)
    made.model.config.id2label = {0: "Positive", 1: "negative"}
    assert label_order(made, task) == [1, 0]
    made.model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    assert label_order(made, task) == [0, 1]
    made.model.config.id2label = {0: "dog", 1: "cat"}
    with pytest.raises(CompatibilityError, match=r"tells apart dog, cat.*negative, positive"):
        label_order(made, task)


def test_a_teacher_without_the_head(tmp_path) -> None:
    start = encoder(tmp_path / "b")
    with pytest.raises(CompatibilityError, match=r"is a masked model.*fine-tuned for classification"):
        fine_tune_and_evaluate(start, sentiment(), seed=1, spec=ONE, teacher=start)


def test_teacher_and_student_have_one_tokenizer(tmp_path) -> None:
    made, _ = fine_tune_and_evaluate(encoder(tmp_path / "t"), sentiment(), seed=1, spec=ONE)
    other = train_masked_tokenizer(({"text": text} for text in ("dogs and cats", "green trees") * 9), 97, 64)
    with pytest.raises(CompatibilityError, match="tokenizers differ"):
        fine_tune_and_evaluate(encoder(tmp_path / "s"), sentiment(), seed=1, spec=ONE, teacher=replace(made, tokenizer=other))
