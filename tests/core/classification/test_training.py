"""Classifiers learn from labels and soft targets, of images and of texts."""

from __future__ import annotations

import pytest
import torch

from core.classification.augmenting import jitter
from core.classification.images import load_images
from core.classification.items import ClassificationData, Items
from core.classification.models import new_mlp
from core.classification.predicting import measure, predict_logits, recall
from core.classification.training import train_classifier
from core.config import ImagesSpec, LossSpec, MlpSpec, Ramp, TrainSpec
from core.errors import DataError, NonFiniteLossError
from core.recorder import ListRecorder, StopRequested

FEW = TrainSpec(num_train_epochs=3, per_device_train_batch_size=32, learning_rate=1e-2, weight_decay=0.0)


@pytest.fixture(scope="module")
def digits() -> ClassificationData:
    return load_images(ImagesSpec(max_train_items=300))


def test_labels_are_learnt_and_logged_by_the_names_of_other_trainings(digits: ClassificationData) -> None:
    model, recorder = new_mlp(MlpSpec(), digits, 0), ListRecorder()
    before = measure(predict_logits(model, digits.test), digits.test.targets)["accuracy"]
    done = train_classifier(model, digits.train, train=FEW, held_out=digits.validation, every=1, recorder=recorder)
    assert measure(predict_logits(model, digits.test), digits.test.targets)["accuracy"] > max(0.7, before + 0.4)
    assert done.steps == 30 and done.items == 900 and list(done.curve) == [1, 2, 3]
    assert {"loss", "raw/hard", "loss/hard", "learning_rate", "eval/accuracy"} <= {name for _, _, name, _ in recorder.rows}
    losses = list(recorder.series("student", "loss").values())
    assert losses[-1] < losses[0]


def test_a_step_follows_the_equation(digits: ClassificationData) -> None:
    """One step without momentum's help: the gradient is that of w_hard CE + w_kd T^2 KL, taken by autograd from the definition."""
    items, temperature = digits.train.take(slice(8)), 3.0
    soft = torch.randn(8, 10)
    naive, ours = new_mlp(MlpSpec(), digits, 0), new_mlp(MlpSpec(), digits, 0)
    logits = naive(**items.inputs).logits
    p, log_q = torch.softmax(soft / temperature, -1), torch.log_softmax(logits / temperature, -1)
    kl = (p * (p.log() - log_q)).sum(-1).mean()
    (0.25 * torch.nn.functional.cross_entropy(logits, items.targets) + 0.5 * temperature**2 * kl).backward()
    seen: list[torch.Tensor] = []
    ours.classifier.weight.register_hook(lambda gradient: seen.append(gradient.clone()))
    train_classifier(ours, items, train=FEW.model_copy(update={"max_steps": 1}), soft_targets=soft,
                     losses=LossSpec(w_kd=0.5, w_hard=0.25, temperature=temperature), orders=lambda _: torch.arange(8))
    torch.testing.assert_close(seen[0], naive.classifier.weight.grad, rtol=1e-4, atol=1e-6)


def test_a_weight_that_moves_is_logged_as_it_was_at_each_step(digits: ClassificationData) -> None:
    items, model, recorder = digits.train.take(slice(128)), new_mlp(MlpSpec(), digits, 0), ListRecorder()
    each = torch.nn.functional.cross_entropy(predict_logits(model, items), items.targets, reduction="none").view(4, 32).mean(1)
    train_classifier(model, items, train=FEW.model_copy(update={"num_train_epochs": 1, "learning_rate": 1e-9}), recorder=recorder,
                     losses=LossSpec(w_kd=0.0, w_hard=Ramp(start=1, end=0)), orders=lambda _: torch.arange(128))
    weights = torch.tensor([1, 2 / 3, 1 / 3, 0])
    assert recorder.series("student", "raw/hard")[4] == pytest.approx(float(each.mean()), rel=1e-4)
    assert recorder.series("student", "loss/hard")[4] == pytest.approx(float((weights * each).mean()), rel=1e-4)
    assert recorder.series("student", "loss")[4] == pytest.approx(float((weights * each).mean()), rel=1e-4)


def test_a_student_of_soft_targets_alone_follows_the_teacher_without_labels(digits: ClassificationData) -> None:
    teacher, student = (new_mlp(MlpSpec(hidden=(64,)), digits, seed) for seed in (0, 1))
    train_classifier(teacher, digits.train, train=FEW)
    soft = predict_logits(teacher, digits.train)
    unlabelled = Items(digits.train.inputs, torch.zeros_like(digits.train.targets))
    train_classifier(student, unlabelled, train=FEW, losses=LossSpec(w_kd=1.0, w_hard=0.0, temperature=4.0), soft_targets=soft)
    same = predict_logits(student, digits.test).argmax(1) == predict_logits(teacher, digits.test).argmax(1)
    assert float(same.float().mean()) > 0.7


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(digits: ClassificationData) -> None:
    def trained(seed: int) -> torch.Tensor:
        model = new_mlp(MlpSpec(dropout=0.2), digits, 0)
        train_classifier(model, digits.train, train=FEW.model_copy(update={"seed": seed, "max_steps": 3}))
        return model.classifier.weight.detach()

    assert torch.equal(trained(1), trained(1)) and not torch.equal(trained(1), trained(2))


def test_a_stop_an_empty_set_and_a_loss_that_is_no_number_end_it(digits: ClassificationData) -> None:
    model = new_mlp(MlpSpec(), digits, 0)
    with pytest.raises(StopRequested):
        train_classifier(model, digits.train, train=FEW, recorder=ListRecorder(stop_after=0))
    with pytest.raises(DataError, match="transfer set is empty"):
        train_classifier(model, digits.train.take(slice(0)), train=FEW)
    with torch.no_grad():
        model.classifier.bias.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError):
        train_classifier(model, digits.train, train=FEW)


def test_jitter_moves_whole_images_and_leaves_zeros_behind() -> None:
    images = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    move = jitter(1)
    assert jitter(0) is None and move is not None
    moved = move({"pixel_values": images}, torch.Generator().manual_seed(1))["pixel_values"]
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    seen = set()
    for before, after in zip(padded, moved, strict=True):
        found = [(down, right) for down in range(3) for right in range(3) if torch.equal(before[:, down:down + 6, right:right + 6], after)]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 5


def test_recall_counts_the_items_of_one_class() -> None:
    logits, targets = torch.tensor([[2.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
    assert recall(logits, targets, 0) == 0.5 and recall(logits, targets, 1) == 0.0
    assert torch.isnan(torch.tensor(recall(logits, targets, 2)))
    assert measure(logits, targets)["errors"] == 2
