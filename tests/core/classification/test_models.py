"""Networks are saved and loaded as ordinary folders, and what they read is compared with a data set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.classification.images import load_images
from core.classification.items import ClassificationData
from core.classification.models import load_image_classifier, new_mlp, require_labels, require_same_labels
from core.config import ImagesSpec, MlpSpec
from core.errors import CompatibilityError
from core.models.image_mlp import ImageMlp


@pytest.fixture(scope="module")
def digits() -> ClassificationData:
    return load_images(ImagesSpec(max_train_items=30))


def test_a_saved_network_answers_the_same(tmp_path: Path, digits: ClassificationData) -> None:
    model = new_mlp(MlpSpec(hidden=(9, 7), dropout=0.5), digits, 3).eval()
    model.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert isinstance(model, ImageMlp)
    again, pixels = load_image_classifier(tmp_path), digits.test.inputs["pixel_values"]
    assert torch.equal(again(pixels).logits, model(pixels).logits)
    require_labels(again, digits, "it")


def test_a_seed_gives_the_same_weights(digits: ClassificationData) -> None:
    first, again, other = (new_mlp(MlpSpec(), digits, seed).classifier.weight for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_other_labels_and_another_shape_are_named(digits: ClassificationData) -> None:
    with pytest.raises(CompatibilityError, match="it lacks 9; only it has nine"):
        require_same_labels([*digits.labels[:9], "nine"], digits.labels, "a", "b")
    with pytest.raises(CompatibilityError, match="another order"):
        require_same_labels(digits.labels[::-1], digits.labels, "a", "b")
    model = new_mlp(MlpSpec(), digits, 0)
    model.config.image_size = [28, 28]
    with pytest.raises(CompatibilityError, match=r"1 x 28 x 28.*1 x 8 x 8"):
        require_labels(model, digits, "a")


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CompatibilityError, match="no classifier of images"):
        load_image_classifier(tmp_path)
