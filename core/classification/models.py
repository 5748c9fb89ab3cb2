"""Classifiers as model folders: new ones, saved ones, and loaded ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from core.classification.items import ClassificationData
from core.config import MlpSpec
from core.errors import CompatibilityError
from core.models.architectures import label_names
from core.models.image_networks import is_image_network
from core.models.loading import model_from_config, model_from_pretrained

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def new_mlp(spec: MlpSpec, data: ClassificationData, seed: int) -> PreTrainedModel:
    """Return a new network for the images and labels of a data set, in training mode and float32.

    Args:
        seed: of the weights.
    """
    from core.models.image_mlp import ImageMlpConfig

    channels, height, width = data.image_size
    config = ImageMlpConfig(num_channels=channels, image_size=[height, width], hidden_sizes=list(spec.hidden),
                            input_dropout=spec.input_dropout, hidden_dropout=spec.dropout,
                            id2label=dict(enumerate(data.labels)), label2id={label: number for number, label in enumerate(data.labels)})
    return model_from_config(config, "image_classification", torch.float32, seed)


def load_image_classifier(folder: Path) -> PreTrainedModel:
    """Load a saved network in evaluation mode and float32.

    Raises:
        CompatibilityError: the folder holds another kind of model.
        CorruptModelError: its files cannot be read.
    """
    if not is_image_network(folder):
        raise CompatibilityError(f"'{folder}' holds no classifier of images.", "A network that Stillhouse trained on images was expected.",
                                 "Name the folder of a member or student of such a run.")
    return model_from_pretrained(folder, "image_classification", torch.float32, local_files_only=True).eval()


def require_labels(model: PreTrainedModel, data: ClassificationData, name: str) -> None:
    """Check that a classifier tells apart the classes of a data set, in their order, and reads images of its shape.

    Raises:
        CompatibilityError: it says which labels differ, or what the two shapes are.
    """
    require_same_labels(label_names(model.config), data.labels, name, f"'{data.name}'")
    if "pixel_values" in data.train.inputs:
        mine = (model.config.num_channels, *model.config.image_size)
        if tuple(mine) != data.image_size:
            raise CompatibilityError(f"'{name}' reads images of {' x '.join(map(str, mine))} (channels, height, width).",
                                     f"Those of '{data.name}' are {' x '.join(map(str, data.image_size))}.",
                                     "Choose a model that was trained on images of this shape.")


def require_same_labels(given: list[str] | tuple[str, ...], expected: list[str] | tuple[str, ...], name: str, other: str) -> None:
    """Check that two classifiers tell apart the same classes in the same order. Raises CompatibilityError that says which differ."""
    if tuple(given) == tuple(expected):
        return
    lacks = [each for each in expected if each not in given]
    has = [each for each in given if each not in expected]
    differ = [*([f"it lacks {', '.join(lacks[:5])}"] if lacks else []), *([f"only it has {', '.join(has[:5])}"] if has else [])]
    raise CompatibilityError(f"'{name}' tells apart {', '.join(given)}.",
                             f"The labels of {other} are {', '.join(expected)}: {'; '.join(differ) or 'they stand in another order'}.",
                             "Choose members that were trained on the same labels.")
