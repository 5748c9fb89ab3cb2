"""A bias is shifted, and by how much is chosen on held-out items."""

from __future__ import annotations

import pytest
import torch

from core.classification.bias import choose_shift, shift_bias, shifted
from core.classification.images import load_images
from core.classification.models import new_mlp
from core.classification.predicting import predict_logits
from core.config import ImagesSpec, MlpSpec
from core.errors import CompatibilityError, DataError


def test_a_shifted_model_answers_as_shifted_logits() -> None:
    data = load_images(ImagesSpec(max_train_items=30, max_items=40))
    model = new_mlp(MlpSpec(hidden=(10,)), data, 0)  # as many hidden units as classes: the last layer is meant
    before = predict_logits(model, data.test)
    shift_bias(model, [3, 5], 2.5)
    torch.testing.assert_close(predict_logits(model, data.test), shifted(before, [3, 5], 2.5))


def test_the_chosen_shift_is_the_one_that_gives_a_suppressed_class_back() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(300) % 3
    logits = torch.nn.functional.one_hot(targets, 3) * 6.0 + torch.randn(300, 3, generator=generator)
    found = choose_shift(shifted(logits, [1], -8.0), targets, [1])
    assert 5 < found.b < 11 and found.accuracy > 0.99


def test_a_class_that_is_absent_and_a_layer_without_bias_are_explained() -> None:
    with pytest.raises(DataError, match="No item of class 2"):
        choose_shift(torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]), [2])
    model = new_mlp(MlpSpec(), load_images(ImagesSpec(max_train_items=30)), 0)
    model.classifier.bias = None
    with pytest.raises(CompatibilityError, match="no bias"):
        shift_bias(model, [3], 1.0)
