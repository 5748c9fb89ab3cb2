from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from core.classification.items import Items
from core.config import SpecialistsSpec, TrainSpec
from core.errors import DataError, UnsupportedModelError
from core.recorder import NullRecorder
from core.specialists.networks import load_data, new_network
from core.specialists.training import SpecialistTraining, mixed_targets, renumbered, require_linear_head, train_specialist
from tests.core.masked_models import classifier, masked_model

HOW = SpecialistTraining("early_stopping", 80.0, 1, TrainSpec(learning_rate=5e-2, per_device_train_batch_size=16, seed=1))


def test_targets_are_numbered_by_place_and_the_rest_is_the_dustbin() -> None:
    items = Items({"pixel_values": torch.zeros(5, 1)}, torch.tensor([0, 1, 2, 3, 4]))
    assert renumbered(items, (1, 3), 5).targets.tolist() == [2, 0, 2, 1, 2]


def test_mixed_targets_are_hard_for_special_items_and_soft_for_others() -> None:
    logits = torch.randn(3, 4)
    soft = mixed_targets(logits, torch.tensor([1, 0, 3]), (1, 2)).softmax(1)
    assert soft[0].tolist() == [0, 1, 0, 0]
    expected = logits.softmax(1)[:, [0, 3]]
    assert torch.allclose(soft[1:, [0, 3]], expected[1:] / expected[1:].sum(1, keepdim=True)) and soft[1:, 1:3].abs().max() == 0


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    spec = SpecialistsSpec(source="digits", train_items=120, test_items=50, hidden=(32,))
    data = load_data(spec)
    generalist = new_network(data, 0, (32,), 0)
    before = copy.deepcopy(generalist.state_dict())
    found = train_specialist(generalist, (3, 5, 8), data.data.train, data.data.validation, HOW, recorder=NullRecorder(), variant="s")
    assert all(torch.equal(before[key], value) for key, value in generalist.state_dict().items())
    assert found.curve[found.kept_epoch] == min(found.curve.values())
    assert max(found.curve) < 80 and max(found.curve) == found.kept_epoch + 1, "a patience of one epoch"
    held = renumbered(data.data.validation, (3, 5, 8), 10)
    logits = found.model(**held.inputs).logits
    loss = [nn.functional.cross_entropy(logits[part], held.targets[part]) for part in (held.targets < 3, held.targets == 3)]
    assert sum(float(each.detach()) for each in loss) / 2 == pytest.approx(found.curve[found.kept_epoch], rel=1e-4)
    assert found.model.config.id2label == {0: "3", 1: "5", 2: "8", 3: "other"}


def test_an_empty_transfer_set_is_refused() -> None:
    data = load_data(SpecialistsSpec(source="digits", train_items=120, test_items=50))
    empty = data.data.train.take(slice(0, 0))
    with pytest.raises(DataError, match="empty"):
        train_specialist(new_network(data, 0, (6,), 0), (3, 5), empty, data.data.validation, HOW, recorder=NullRecorder(), variant="s")


def test_a_head_that_is_not_linear_is_refused() -> None:
    for model in (masked_model(1), classifier()):
        if hasattr(model, "classifier"):
            model.classifier = nn.Linear(32, 2, bias=False)
        with pytest.raises(UnsupportedModelError, match="does not end in a linear layer"):
            require_linear_head(model)
    assert require_linear_head(classifier())[0] == "classifier"
